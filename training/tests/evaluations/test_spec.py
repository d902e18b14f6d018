"""What the evaluator is given: which version, by which contract, beside what."""

import json
from pathlib import Path

import pytest

from distillation.tests.drafts import make_row
from models_app.gateway.paths import engine_paths
from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.jobs.lease import Lease
from training.builds import services as builds
from training.evaluations.spec import EvaluationSpec, Side
from training.models import EvaluationRun
from training.runs import runner
from training.scoring.criteria import CompiledChecks, compile_contract
from training.tests.planted_runs import make_job, make_run

pytestmark = pytest.mark.django_db
CRITERIA = ["exact match at least 80 %", "Be kind."]
SCORE = {"score": 0.8, "low": 0.7, "high": 0.9}


@pytest.fixture
def specs(monkeypatch):
    """Specs that the child was started with; it answers with a pass."""
    specs = []

    def run_child(module, spec_path, **options):
        specs.append(json.loads(Path(spec_path).read_text()))
        result = {"metric": "exact_match", "n_test": 9, "verdict": "pass", "criteria": []}
        live = SCORE | {"difference": {"score": 0.1, "low": 0.0, "high": 0.2}, "seconds": 3}
        return result | {"base": SCORE, "tuned": SCORE, "baseline": SCORE, "live": live}

    monkeypatch.setattr(runner, "run_child", run_child)
    return specs


@pytest.fixture
def versions(org, artifacts_dir):
    """Version 1 is live; 2 and 3 are not. All were trained on one dataset."""
    model = testing.make_model(org, status="ready", success_criteria=CRITERIA)
    run = make_run(model, "succeeded")
    made = [make_version(model, number) for number in (1, 2, 3)]
    run.dataset_version.digest = "d" * 64
    run.dataset_version.save()
    CustomModel.objects.filter(id=model.id).update(live_version=made[0])
    return made


def make_version(model, number):
    version = testing.make_version(
        model, number=number, system_prompt=f"Prompt {number}.", dataset_digest="d" * 64
    )
    gguf = engine_paths(version)[0]
    gguf.parent.mkdir(parents=True, exist_ok=True)
    gguf.write_bytes(b"GGUF")
    return version


def evaluate(run):
    """As a worker does."""
    type(run.job).objects.filter(id=run.job_id).update(state="running", lease_token=run.id)
    run.job.refresh_from_db()
    runner.evaluate(run.job, Lease(run.job))()
    run.refresh_from_db()
    return run


def test_the_requested_version_is_measured_beside_the_live_one(alice, versions, specs):
    run = evaluate(builds.evaluate_again(actor=alice, version=versions[1]))

    (spec,) = specs
    assert spec["tuned"]["gguf"] == str(engine_paths(versions[1])[0])
    assert spec["system_prompt"] == "Prompt 2."
    assert spec["live"]["gguf"] == str(engine_paths(versions[0])[0])
    assert (spec["live"]["name"], spec["live"]["system_prompt"]) == ("version 1", "Prompt 1.")
    assert (run.live["version"], run.live["number"]) == (str(versions[0].id), 1)
    assert (run.live["score"], "seconds" in run.live) == (0.8, False)
    versions[1].refresh_from_db()
    assert versions[1].scores["live"] == run.live


def test_the_base_is_told_the_labels_that_the_tuned_one_learned(alice, versions, specs):
    dataset = versions[0].model.dataset_versions.get()
    intent = {"task_kind": "classify", "labels": ["no", "yes"], "labels_closed": True}
    type(dataset.run).objects.filter(id=dataset.run_id).update(intent=intent)
    evaluate(builds.evaluate_again(actor=alice, version=versions[1]))
    (spec,) = specs
    assert spec["base"]["system_prompt"] == "Prompt 2. Answer with one of: no, yes."
    assert spec["system_prompt"] == "Prompt 2."


def test_labels_that_no_training_row_has_are_named_to_the_evaluator(alice, versions, specs):
    dataset = versions[0].model.dataset_versions.get()
    type(dataset.run).objects.filter(id=dataset.run_id).update(intent={"task_kind": "classify"})
    CustomModel.objects.update(test_rows=[{"input": "hi", "output": "new"}] * 3)
    evaluate(builds.evaluate_again(actor=alice, version=versions[1]))
    assert specs[0]["coverage"]["unseen"] == {"new": 3}


def test_doubtful_rows_that_were_kept_in_the_test_split_are_counted(alice, versions, specs):
    dataset = versions[0].model.dataset_versions.get()
    doubted = {"scores": {"doubtful": 1.0}}
    for number, fields in enumerate(({"split": "test"}, {"split": "test"} | doubted, doubted)):
        make_row(dataset, number, **fields).save()
    evaluate(builds.evaluate_again(actor=alice, version=versions[1]))
    assert specs[0]["doubtful_rows"] == 1


def test_a_base_whose_prompt_says_it_all_gets_the_same(alice, versions, specs):
    evaluate(builds.evaluate_again(actor=alice, version=versions[1]))
    assert specs[0]["base"]["system_prompt"] is None


def test_it_is_judged_by_the_contract_as_it_was_frozen(alice, versions, specs):
    run = builds.evaluate_again(actor=alice, version=versions[1])
    CustomModel.objects.update(success_criteria=["exact match at least 1 %"], metric="token_f1")
    evaluate(run)

    (spec,) = specs
    model = CustomModel.objects.get()
    assert run.contract_digest == model.contract_digest != ""
    assert spec["metric"] == run.metric == "exact_match"
    frozen = CompiledChecks(**spec["contract"]).criteria()
    assert [check.value for check in frozen.checks] == [0.8, 0.0, 0.0]
    assert frozen.unread == ["Be kind."]


def test_a_live_version_is_not_measured_beside_itself(alice, versions, specs):
    run = evaluate(builds.evaluate_again(actor=alice, version=versions[0]))
    assert specs[0]["live"] is None
    assert run.live == {}


def test_a_live_version_whose_file_is_gone_does_not_stop_others(alice, versions, specs):
    engine_paths(versions[0])[0].unlink()
    run = evaluate(builds.evaluate_again(actor=alice, version=versions[1]))
    assert specs[0]["live"] is None
    assert run.live == {}


def test_a_job_that_says_no_version_measures_the_newest(versions, specs):
    job = make_job(versions[0].model, "evaluate")
    runner.evaluate(job, Lease(job))()
    assert EvaluationRun.objects.get(job=job).version == versions[2]


def test_a_spec_is_read_back_as_it_was_written(tmp_path):
    side = Side(tmp_path / "model.gguf", tmp_path)
    spec = EvaluationSpec(
        test_file=tmp_path / "test.jsonl",
        base=side,
        tuned=side,
        metric="macro_f1",
        out_dir=tmp_path / "out",
        contract=compile_contract(["Accuracy of at least 80%"], metric="macro_f1"),
        labels=["a", "b"],
        live=Side(tmp_path / "live.gguf", tmp_path, "Old prompt.", "version 1"),
        cache_dir=tmp_path / "answers",
    )
    assert EvaluationSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert [check.metric for check in spec.checks().checks] == [
        "exact_match",
        "beats_base",
        "not_worse_than_rival",
    ]
