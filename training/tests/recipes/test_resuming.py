"""A run that was interrupted gives what one that was not gives."""

import errno
import json

import pytest
import torch

from training.progress import Log, Progress, Stopped
from training.recipes import lora_sft, preparing
from training.tests.recipes.tiny import (
    adapter_of,
    config,
    run,
)


def interrupted(dataset, tiny, folder, *, at, **values):
    """The run, asked to stop after so many steps."""
    prepared = preparing.prepare(dataset, tiny, config(**values))
    model = lora_sft.setup_model(tiny, prepared.config)
    done = []
    with pytest.raises(Stopped):
        lora_sft.train(
            model, prepared, done.append, checkpoints_dir=folder,
            should_stop=lambda: sum(isinstance(each, Progress) for each in done) >= at,
        )  # fmt: skip


def resumed(dataset, tiny, folder, **values):
    prepared = preparing.prepare(dataset, tiny, config(**values))
    model = lora_sft.setup_model(tiny, prepared.config)
    return model, lora_sft.train(
        model, prepared, lambda *args, **kwargs: None, checkpoints_dir=folder
    )


@pytest.mark.parametrize("method", ["lora", "dora", "full"])
def test_a_resumed_run_equals_an_uninterrupted_one(tiny, dataset, tmp_path, method):
    requested = {"method": method, "max_steps": 12, "eval_every": 4, "learning_rate": 5e-3}
    whole_model, whole = run(dataset, tiny, **requested)
    interrupted(dataset, tiny, tmp_path / "kept", at=5, **requested)
    model, outcome = resumed(dataset, tiny, tmp_path / "kept", **requested)
    assert outcome.resumed_from == 5
    assert outcome.losses == whole.losses
    assert outcome.valid_losses == whole.valid_losses
    ours, theirs = adapter_of(model), adapter_of(whole_model)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_interrupted_at_every_step_still_equals_an_uninterrupted_one(tiny, dataset, tmp_path):
    whole = run(dataset, tiny)[1]
    for step in range(1, 5):
        interrupted(dataset, tiny, tmp_path / "kept", at=1)
        assert (tmp_path / "kept" / f"step-{step:08d}").is_dir()
    assert resumed(dataset, tiny, tmp_path / "kept")[1].losses == whole.losses


def test_a_corrupted_newest_checkpoint_is_passed_over_for_the_one_before(tiny, dataset, tmp_path):
    whole = run(dataset, tiny, max_steps=8)[1]
    interrupted(dataset, tiny, tmp_path / "kept", at=3, max_steps=8, checkpoint_every=0)
    interrupted(dataset, tiny, tmp_path / "kept", at=2, max_steps=8, checkpoint_every=0)
    state = tmp_path / "kept" / "step-00000005" / "state.pt"
    state.write_bytes(state.read_bytes()[:-100])
    outcome = resumed(dataset, tiny, tmp_path / "kept", max_steps=8)[1]
    assert outcome.resumed_from == 3
    assert outcome.losses == whole.losses


def test_a_checkpoint_of_another_run_is_not_taken_for_ones_own(tiny, dataset, tmp_path):
    interrupted(dataset, tiny, tmp_path / "kept", at=3)
    again = resumed(dataset, tiny, tmp_path / "kept", micro_batch_tokens=600)[1]
    assert again.resumed_from == 3  # how a step is cut does not make it another run
    assert resumed(dataset, tiny, tmp_path / "kept", seed=9)[1].resumed_from == 0
    owners = {
        json.loads((place / "manifest.json").read_text())["facts"]["belongs_to"]
        for place in (tmp_path / "kept").iterdir()
    }
    assert len(owners) == 1  # the other run's are gone


def test_two_checkpoints_are_kept_and_no_temporary_folder(tiny, dataset, tmp_path):
    resumed(dataset, tiny, tmp_path / "kept", checkpoint_every=1)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "step-00000005",
        "step-00000006",
    ]


def test_a_full_disk_at_a_checkpoint_is_reported_and_the_run_goes_on(
    tiny, dataset, tmp_path, monkeypatch
):
    def no_room(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", no_room)
    messages = []
    prepared = preparing.prepare(dataset, tiny, config(checkpoint_every=2))
    model = lora_sft.setup_model(tiny, prepared.config)
    outcome = lora_sft.train(
        model,
        prepared,
        messages.append,
        checkpoints_dir=tmp_path / "kept",
    )
    assert len(outcome.losses) == 6
    failed = [each.message for each in messages if isinstance(each, Log)]
    assert [text.split(" could")[0] for text in failed] == [
        f"No checkpoint of step {step}" for step in (2, 4, 6)
    ]
    assert "No space left" in failed[0]
    assert list((tmp_path / "kept").iterdir()) == []
