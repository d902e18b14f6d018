"""The training child as its supervisor sees it: lines, exit codes, what lies on disk afterwards."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from modelstation.core.artifacts import verify
from modelstation.lm.chat import load_renderer
from modelstation.lm.loading import load_causal_lm
from modelstation.lm.testing import make_tiny_llama
from training.progress import Channel, ChildError
from training.runs import child as trainer
from training.runs.spec import TrainingSpec
from training.tests.recipes.tiny import write_dataset

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_llama(tmp_path_factory.mktemp("tiny"))


def write_spec(folder, tiny, **config):
    spec = {
        "dataset": str(write_dataset(folder / "dataset")),
        "base_folder": str(tiny),
        "base_name": "tiny-llama",
        "out_dir": str(folder / "out"),
        "config": {"device": "cpu", "dtype": "float32", **config},
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    return path


def train(spec):
    channel = Channel(open(os.devnull, "w"))  # noqa: SIM115
    return trainer.run_training(TrainingSpec.from_json(spec), channel)


def start(spec):
    return subprocess.Popen(
        [sys.executable, "-m", "training.runs.child", str(spec)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny):
    """One whole run, looked at by several tests."""
    folder = tmp_path_factory.mktemp("finished")
    child = start(write_spec(folder, tiny, max_steps=8, learning_rate=0.02))
    lines, errors = child.communicate(timeout=120)
    return (
        child.returncode,
        [json.loads(line) for line in lines.splitlines()],
        folder / "out",
        errors,
    )


def test_a_run_speaks_json_lines_only_and_ends_with_its_result(finished):
    code, events, _, errors = finished
    assert code == 0, errors
    assert {event["event"] for event in events} == {"progress", "log", "result"}
    stages = list(dict.fromkeys(e["stage"] for e in events if e["event"] == "progress"))
    assert stages == ["load", "train", "merge", "export"]
    result = events[-1]
    assert result["event"] == "result"
    wanted = {"steps", "train_tokens", "answer_tokens", "final_loss", "best_valid_loss", "seconds"}
    assert wanted <= result.keys()
    assert result["steps"] == 8
    assert result["device"] == "cpu"
    assert result["config"]["learning_rate"] == 0.02
    assert None not in {result["config"]["tokens_per_batch"], result["config"]["epochs"]}


def test_a_run_leaves_three_artifacts_that_verify_and_nothing_else(finished):
    _, events, out, _ = finished
    assert sorted(path.name for path in out.iterdir()) == ["adapter", "gguf", "merged"]
    for kind, manifest in events[-1]["artifacts"].items():
        assert verify(out / kind) == manifest
        assert manifest["facts"]["config"] == events[-1]["config"]
    assert (out / "gguf" / trainer.GGUF_NAME).read_bytes()[:4] == b"GGUF"
    assert load_renderer(out / "gguf").render_prompt([{"role": "user", "content": "a"}])


def test_the_adapter_names_its_base_and_no_path(finished, tiny):
    _, _, out, _ = finished
    written = (out / "adapter" / "adapter_config.json").read_text()
    assert json.loads(written)["base_model_name_or_path"] == "tiny-llama"
    assert str(tiny) not in written


def test_merged_weights_answer_as_base_and_adapter_do(finished, tiny):
    from peft import PeftModel

    _, _, out, _ = finished
    base, merged = (load_causal_lm(folder, torch.float32) for folder in (tiny, out / "merged"))
    ids = torch.tensor([load_renderer(tiny).render_prompt([{"role": "user", "content": "a"}])])
    with torch.no_grad():
        untuned = base(ids).logits
        tuned = PeftModel.from_pretrained(base, str(out / "adapter"))(ids).logits
        torch.testing.assert_close(merged(ids).logits, tuned, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(untuned, tuned, atol=1e-2)


def until(child, wanted):
    """Reads lines until one has all of `wanted`."""
    for line in child.stdout:
        event = json.loads(line)
        if wanted.items() <= event.items():
            return event
    raise AssertionError(f"the child ended without {wanted}: {child.stderr.read()}")


@pytest.mark.long
def test_a_run_requested_to_stop_saves_itself_and_goes_on_with_the_same_command(tmp_path, tiny):
    spec = write_spec(tmp_path, tiny, max_steps=2_000, eval_every=0)
    values = json.loads(spec.read_text()) | {"checkpoints_dir": str(tmp_path / "kept")}
    spec.write_text(json.dumps(values))
    child = start(spec)
    until(child, {"stage": "train"})
    child.send_signal(signal.SIGUSR1)
    saved = until(child, {"event": "checkpoint"})
    assert child.wait(timeout=20) == 75
    assert not (tmp_path / "out").exists()

    values["config"]["max_minutes"] = 0.05
    spec.write_text(json.dumps(values))
    child = start(spec)
    assert (
        f"step {saved['step']}."
        in until(
            child,
            {"event": "log", "message": f"Goes on from the checkpoint of step {saved['step']}."},
        )["message"]
    )
    result = until(child, {"event": "result"})
    assert child.wait(timeout=20) == 0
    assert result["resumed_from"] == saved["step"]


def test_a_full_run_leaves_merged_weights_and_no_adapter(tmp_path, tiny):
    child = start(write_spec(tmp_path, tiny, method="full", max_steps=3))
    result = until(child, {"event": "result"})
    assert child.wait(timeout=20) == 0
    assert sorted(result["artifacts"]) == ["gguf", "merged"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gguf", "merged"]
    load_causal_lm(tmp_path / "out" / "merged", torch.float32)


@pytest.mark.faults  # slow: two processes wait for one another
def test_two_processes_train_as_one_does(tmp_path, tiny):
    """Each takes every second micro-batch; their gradients add up to the step's."""
    spec = write_spec(tmp_path, tiny, max_steps=6, tokens_per_batch=512, micro_batch_tokens=128)
    results = []
    for processes in ("1", "2"):
        child = subprocess.Popen(
            [sys.executable, "-m", "training.runs.child", str(spec)], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | {"TRAINING_PROCESSES": processes},
        )  # fmt: skip
        lines, errors = child.communicate(timeout=200)
        assert child.returncode == 0, errors
        events = [json.loads(line) for line in lines.splitlines()]
        results.append([event for event in events if event["event"] == "result"])
    (one,), (two,) = results
    assert two["final_loss"] == pytest.approx(one["final_loss"], abs=1e-4)
    assert two["train_tokens"] == one["train_tokens"]


def test_a_cancelled_run_stops_within_seconds_and_leaves_no_artifact(tmp_path, tiny):
    child = start(write_spec(tmp_path, tiny, max_steps=100_000, eval_every=0))
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line).get("stage") == "train":
            break
    asked_at = time.monotonic()
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=20)
    assert child.returncode == 143
    assert time.monotonic() - asked_at < 10
    out = tmp_path / "out"
    assert not out.exists() or list(out.iterdir()) == []


def test_a_bad_spec_is_one_error_line_and_exit_1(tmp_path):
    spec = tmp_path / "spec.json"
    spec.write_text('{"dataset": ')
    child = start(spec)
    lines, _ = child.communicate(timeout=60)
    assert child.returncode == 1
    (event,) = [json.loads(line) for line in lines.splitlines()]
    assert (event["event"], event["code"]) == ("error", "bad_spec")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"lora_rank": -1}, "lora_rank must be between"),
        ({"flash": True}, "Unknown training setting"),
        ({"max_seq_len": 100_000}, "more than the base model can read"),
    ],
)
def test_a_bad_config_is_reported_before_weights_are_loaded(
    tmp_path, tiny, monkeypatch, config, said
):
    from training.recipes import lora_sft

    monkeypatch.setattr(lora_sft, "load_causal_lm", lambda *args: pytest.fail("weights loaded"))
    spec = json.loads(write_spec(tmp_path, tiny, **config).read_text())
    with pytest.raises(ChildError, match=said) as caught:
        train(spec)
    assert caught.value.code == "bad_spec"


def test_a_missing_dataset_file_is_named(tmp_path, tiny):
    spec = json.loads(write_spec(tmp_path, tiny).read_text())
    (tmp_path / "dataset" / "valid.jsonl").unlink()
    with pytest.raises(ChildError, match=r"valid\.jsonl"):
        train(spec)


def test_a_failed_export_leaves_no_artifact(tmp_path, tiny, monkeypatch):
    def fail(merged, target):
        (target / "half").write_text("half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(trainer, "save_gguf", fail)
    spec = json.loads(write_spec(tmp_path, tiny, max_steps=1).read_text())
    with pytest.raises(OSError, match="No space"):
        train(spec)
    assert list((tmp_path / "out").iterdir()) == []
