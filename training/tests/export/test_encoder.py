"""An encoder to take away: its own client answers as the server here does."""

import json
import subprocess
import sys

import numpy as np
import pytest

from modelstation.core.artifacts import write_artifact
from modelstation.lm.embedding import load_embedder
from modelstation.lm.encoder.encoders import MINILM, REVISIONS
from modelstation.lm.encoder.head import Head, HeadSettings
from training.export import child
from training.progress import Channel, ChildError
from training.tests.encoder.rows import tickets, write_split
from training.tests.export.exported import spec_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """A version's folder whose head builds on sentence vectors."""
    folder = tmp_path_factory.mktemp("version")
    texts, labels = zip(*tickets(150), strict=True)
    names = tuple(sorted(set(labels)))
    vectors = load_embedder().embed(texts)
    means = [vectors[np.array(labels) == name].mean(axis=0) for name in names]
    tensors = {f"{MINILM}.weight": 20 * np.array(means).T, f"{MINILM}.bias": np.zeros(3)}
    settings = HeadSettings(names, 1.0, {MINILM: 1.0}, {MINILM: REVISIONS[MINILM]})
    whole = {name: np.ascontiguousarray(each, np.float32) for name, each in tensors.items()}
    head = Head(settings, whole)
    write_artifact(folder / "encoder", head.save, kind="encoder", facts={})
    return folder


def exported(version, tmp_path, **changes):
    write_split(tmp_path, "test", tickets(252)[150:])
    spec = spec_of(version, version, tmp_path, artifacts=["encoder"], base_folder=None, **changes)
    write_split(tmp_path, "test", tickets(252)[150:])
    with (tmp_path / "log").open("w") as stream:
        return spec.out_dir, child.run_export(spec, Channel(stream))


def test_the_client_of_the_export_answers_every_held_out_row_as_the_server_does(version, tmp_path):
    out, certificate = exported(version, tmp_path)

    (result,) = certificate.artifacts
    assert (certificate.verdict, result.agreement) == ("pass", 1.0)
    assert certificate.rows == 102
    card, readme = ((out / name).read_text() for name in ("MODEL_CARD.md", "README.md"))
    assert "pipeline_tag: text-classification" in card
    assert "pip install numpy safetensors tokenizers" in readme
    assert not (out / "Modelfile").exists()

    command = [sys.executable, "-I", "client.py", "--all", "water under the sink"]
    said = subprocess.run(command, cwd=out, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in said.splitlines()][0] == "Plumbing"
    assert len(said.splitlines()) == 3
    labels = json.loads((out / "encoder" / "encoder.json").read_text())["labels"]
    assert labels == ["Electrical", "Heating", "Plumbing"]


def test_files_that_changed_since_the_training_are_refused(version, tmp_path):
    settings = version / "encoder" / "encoder.json"
    kept = settings.read_text()
    settings.write_text(kept.replace("Heating", "Cooling"))
    with pytest.raises(ChildError, match="not what was trained"):
        exported(version, tmp_path)
    settings.write_text(kept)
