"""What the export child reads, and what it hands back, as JSON and out of it again."""

import json

import pytest
from pydantic import TypeAdapter

from training.export.bundle.facts import EvaluationFacts, Score
from training.export.bundle.results import ArtifactResult, Certificate, Check, Reference
from training.export.spec import ExportSpec
from training.progress import ChildError
from training.tests.export.exported import spec_of


@pytest.fixture
def spec(tmp_path):
    entry = {"path": "a", "bytes": 1, "sha256": "0"}
    return spec_of(tmp_path / "version", tmp_path / "base", tmp_path, recorded={"merged": [entry]})


def test_a_spec_travels_as_json(spec):
    assert ExportSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_spec_that_lacks_something_says_what(spec):
    content = spec.to_json()
    del content["metric"]
    with pytest.raises(ChildError, match="metric") as refused:
        ExportSpec.from_json(content)
    assert refused.value.code == "bad_spec"


def test_a_certificate_travels_as_json():
    line = ArtifactResult(
        name="merged", file="merged", how="", made_of={}, checks=[Check("a", True, "b")],
        agreement=None, score=None, low=None, high=None, verdict="pass", sentence="",
    )  # fmt: skip
    certificate = Certificate(1, "f1", 8, Reference("it", 0.5, 0.4, 0.6), [line], "pass")
    content = json.loads(json.dumps(certificate.to_json()))
    assert TypeAdapter(Certificate).validate_python(content) == certificate


def test_a_version_without_scores_has_no_evaluation():
    assert EvaluationFacts.from_scores({}) is None
    content = {"metric": "f1", "n_test": 3, "tuned": {"score": 1, "low": 0.5, "high": 1, "rows": 3}}
    facts = EvaluationFacts.from_scores(content)
    assert (facts.metric, facts.base, facts.tuned) == ("f1", None, Score(1, 0.5, 1))
