"""Checkpoints that become models of their own, and the accuracy that is measured at each step."""

import errno
import io
import json
from dataclasses import replace

import pytest
import torch

from modelstation.core.artifacts import verify
from modelstation.lm.loading import load_causal_lm
from training.progress import Channel
from training.recipes import lora_sft, preparing
from training.recipes.checkpoints import kept_states
from training.recipes.data import collate
from training.recipes.rows import encode, read_conversations
from training.runs import child as trainer
from training.runs.spec import TrainingSpec
from training.tests.recipes.tiny import SYSTEM, config, conversation, write_dataset


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "dataset")


def trained(base, dataset, kept, **values):
    """A model after its training, and its outcome."""
    prepared = preparing.prepare(dataset, base, config(**values))
    model = lora_sft.setup_model(base, prepared.config)
    outcome = lora_sft.train(model, prepared, lambda *a, **k: None, checkpoints_dir=kept)
    facts = outcome.facts(base_name="tiny")
    spec = TrainingSpec(dataset, base, "tiny", dataset / "out", prepared.config, kept)
    return trainer.Trained(model, spec, prepared.config, facts), outcome


def export(done, out, best_step):
    lines = io.StringIO()
    out.mkdir(exist_ok=True)
    done = replace(
        done,
        spec=replace(done.spec, out_dir=out),
        facts=replace(done.facts, best_step=best_step),
    )
    manifests = trainer.export_checkpoints(done, done.spec.checkpoints_dir, Channel(lines))
    return manifests, [json.loads(line) for line in lines.getvalue().splitlines()]


def weights_of(folder):
    return load_causal_lm(folder, torch.float32).state_dict()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_each_checkpoint_but_the_best_becomes_a_model(
    tiny_llama, dataset, tmp_path, monkeypatch, method
):
    kept, out, seen = tmp_path / "kept", tmp_path / "out", {}
    done, _ = trained(tiny_llama, dataset, kept, method=method, checkpoint_every=2, eval_every=0)
    save_gguf = trainer.save_gguf

    def save(merged, target):
        seen[len(seen)] = weights_of(merged)
        save_gguf(merged, target)

    monkeypatch.setattr(trainer, "save_gguf", save)
    manifests, _ = export(done, out, best_step=4)

    assert [step for step, _ in kept_states(kept)] == [6, 4]
    assert list(manifests) == ["ckpt-step-6"]
    assert verify(out / "ckpt-step-6")["facts"]["step"] == 6
    assert (out / "ckpt-step-6" / trainer.GGUF_NAME).is_file()
    assert (out / "ckpt-step-6" / "tokenizer.json").is_file()
    assert [path.name for path in out.iterdir()] == ["ckpt-step-6"]  # nothing left of the work

    both, _ = export(done, out, best_step=1)
    assert list(both) == ["ckpt-step-6", "ckpt-step-4"]
    assert any(not torch.equal(a, seen[2][name]) for name, a in seen[1].items())


def test_a_checkpoint_that_finds_no_room_costs_nothing_else(
    tiny_llama, dataset, tmp_path, monkeypatch
):
    done, _ = trained(tiny_llama, dataset, tmp_path / "kept", eval_every=0)

    def no_room(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trainer, "save_gguf", no_room)
    manifests, events = export(done, tmp_path / "out", best_step=1)

    assert manifests == {}
    logs = [event["message"] for event in events if event["event"] == "log"]
    assert logs[0] == "The checkpoint of step 6 is not kept: No space left on device."
    assert not list((tmp_path / "out").iterdir())


def test_a_run_that_ends_early_keeps_the_checkpoint_of_its_end(
    tiny_llama, dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr(lora_sft, "measure", lambda *args: (1.0, 0.5))
    kept = tmp_path / "kept"

    outcome = trained(
        tiny_llama, dataset, kept, max_steps=40, eval_every=2, patience=2, checkpoint_every=5
    )[1]

    assert outcome.ended_by == "early_stop"
    assert [step for step, _ in kept_states(kept)] == [len(outcome.losses), 5]


def test_a_checkpoint_of_another_run_is_none_of_this_one(tiny_llama, dataset, tmp_path):
    trained(tiny_llama, dataset, tmp_path / "kept", max_steps=4, checkpoint_every=4)
    foreign = tmp_path / "kept" / "step-00000002"
    (tmp_path / "kept" / "step-00000004").rename(foreign)
    manifest = json.loads((foreign / "manifest.json").read_text())
    manifest["facts"]["belongs_to"] = "another"
    (foreign / "manifest.json").write_text(json.dumps(manifest))
    trained(tiny_llama, dataset, tmp_path / "own", checkpoint_every=6)
    (tmp_path / "own" / "step-00000006").rename(tmp_path / "kept" / "step-00000006")

    assert [step for step, _ in kept_states(tmp_path / "kept")] == [6]


def test_hits_are_the_answer_tokens_that_the_model_would_give_first(tiny_llama, dataset):
    from modelstation.lm.chat import load_renderer

    renderer = load_renderer(tiny_llama)
    rows, _ = encode(read_conversations(dataset / "train.jsonl"), renderer, 512)
    quick = lora_sft.setup_model(tiny_llama, config(learning_rate=1e-3, epochs=1))
    plain = load_causal_lm(tiny_llama, torch.float32)

    loss, hits = lora_sft.answer_loss_and_hits(quick, collate(rows))

    expected = 0
    for row in rows:
        logits = plain(input_ids=torch.tensor([row.inputs])).logits[0]
        right = logits.argmax(-1) == torch.tensor(row.targets)
        expected += int((right & torch.tensor(row.learnt)).sum())
    assert int(hits) == expected
    assert loss.requires_grad
    assert not hits.requires_grad


def test_accuracy_rises_with_what_is_learnt_by_heart(tiny_llama, tmp_path):
    folder = write_dataset(tmp_path / "dataset")
    line = json.dumps({"messages": conversation("the question", "yes", SYSTEM)})
    for name in ("train", "valid"):
        (folder / f"{name}.jsonl").write_text(f"{line}\n" * 8)

    plan = {"max_steps": 40, "eval_every": 40, "patience": 0}
    outcome = trained(tiny_llama, folder, None, method="full", learning_rate=0.01, **plan)[1]

    assert len(outcome.accuracies) == len(outcome.losses) == 40
    assert outcome.accuracies[-1] == outcome.valid_accuracies[40] == 1.0
    assert outcome.accuracies[0] < 1.0
