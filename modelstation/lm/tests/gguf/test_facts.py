"""Facts for serving: the manifest first, then config.json, then the file; all say the same."""

import shutil

import pytest

from modelstation.core.artifacts import write_artifact
from modelstation.lm.gguf import facts
from modelstation.lm.gguf.export import export_gguf
from modelstation.lm.testing import make_tiny_qwen

NAME = "model-q8_0.gguf"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = make_tiny_qwen(tmp_path_factory.mktemp("facts") / "merged", "qwen3")
    export_gguf(folder, folder / NAME)
    return folder


@pytest.fixture
def known(model):
    return facts.facts_of_model(model)


def fill_with(file):
    return lambda folder: shutil.copy(file, folder / NAME)


def test_a_base_is_known_by_its_config(model, known):
    assert known.context_length > 0
    assert known.cache_bytes_per_token > 0
    assert facts.read(model / NAME) == known


def test_an_artifact_is_known_by_its_manifest(model, known, tmp_path):
    stated = facts.ServingFacts(context_length=7, cache_bytes_per_token=9)
    write_artifact(tmp_path / "gguf", fill_with(model / NAME), kind="gguf", facts=stated.to_json())
    assert facts.read(tmp_path / "gguf" / NAME) == stated


def test_a_version_from_before_is_known_by_the_merged_weights_beside_it(model, known):
    folder = model.parent / "gguf"
    write_artifact(folder, fill_with(model / NAME), kind="gguf", facts={"best_step": 3})
    assert facts.read(folder / NAME) == known


def test_what_has_neither_is_read_itself(model, known, tmp_path):
    shutil.copy(model / NAME, tmp_path / NAME)
    assert facts.read(tmp_path / NAME) == known


def test_of_what_is_damaged_or_gone_nothing_is_known(tmp_path):
    (tmp_path / NAME).write_bytes(b"GGUF and then nothing of the kind")
    assert facts.read(tmp_path / NAME) == facts.ServingFacts()
    assert facts.read(tmp_path / "gone.gguf") == facts.ServingFacts()
