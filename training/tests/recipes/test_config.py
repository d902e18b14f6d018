"""The settings of a run: defaults, refusals, and the machine's threads."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from training.plan.estimate.measure import idle_among, idle_cores
from training.plan.estimate.shapes import read_shape
from training.recipes.config import (
    RunFacts,
    TrainingConfig,
    config_from,
    default_epochs,
    default_learning_rate,
    resolve,
)


def test_threads_are_as_many_as_cores_are_idle_and_at_least_one():
    #        user nice system idle iowait
    before = [100, 0, 100, 1000, 0]
    assert idle_among(2, before, [100, 0, 100, 1200, 0]) == 2
    assert idle_among(2, before, [200, 0, 100, 1100, 0]) == 1
    assert idle_among(2, before, [300, 0, 100, 1000, 0]) == 1
    assert idle_among(8, before, [120, 0, 110, 1150, 20]) == 7
    assert idle_among(2, before, before) == 1


def test_the_number_of_threads_that_was_requested_for_decides(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert idle_cores() == 3


# --- the config ---------------------------------------------------------------------------------

FACTS = RunFacts(
    rows=1000,
    tokens=50_000,
    longest_row=90,
    parameters=135_000_000,
    context=8192,
    has_cuda=False,
    has_bf16=True,
)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lora_rank": 0}, "lora_rank must be between"),
        ({"learning_rate": -1.0}, "learning_rate must be between"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"epochs": math.nan}, "epochs must be a number"),
        ({"max_steps": 2.5}, "max_steps must be a whole number"),
        ({"max_steps": True}, "max_steps must be a whole number"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"optimiser": "adam"}, "Unknown training setting 'optimiser'"),
    ],
)
def test_config_values_that_make_no_sense_are_refused_by_name(values, said):
    with pytest.raises(ValueError, match=said):
        config_from(values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tokens_per_batch": 64}, "longest row"),
        ({"max_seq_len": 16_384}, "more than the base model can read"),
        ({"device": "cuda"}, "no CUDA GPU"),
    ],
)
def test_config_that_this_run_cannot_follow_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        resolve(config_from(values), FACTS)


def test_config_asking_for_bfloat16_is_refused_where_the_machine_has_none():
    with pytest.raises(ValueError, match="no bfloat16"):
        resolve(TrainingConfig(dtype="bfloat16"), dataclasses.replace(FACTS, has_bf16=False))


def test_config_defaults_are_filled_in_and_what_was_requested_stays():
    resolved = resolve(TrainingConfig(epochs=2.0), FACTS)
    assert (resolved.epochs, resolved.device, resolved.dtype) == (2.0, "cpu", "bfloat16")
    assert resolved.learning_rate == 1.3e-3
    steps = 2 * FACTS.tokens / resolved.tokens_per_batch
    assert steps >= 100
    assert resolve(resolved, FACTS) == resolved


def test_config_learning_rate_falls_with_size_and_rises_for_short_runs():
    assert default_learning_rate(135_000_000, 200) == 1.3e-3
    assert default_learning_rate(360_000_000, 200) == 8.9e-4
    assert 5.3e-4 < default_learning_rate(500_000_000, 200) < 8.9e-4
    assert default_learning_rate(135_000_000, 50) == 1.95e-3


def test_config_epochs_grow_for_tiny_sets_and_shrink_for_large_ones():
    assert [default_epochs(n) for n in (4, 10, 40, 1000, 12_500, 100_000)] == [25, 10, 3, 3, 2, 1]


def test_parameters_are_counted_from_the_file_headers(tiny):
    from modelstation.lm.loading import load_causal_lm

    model = load_causal_lm(tiny, torch.float32)
    stored = sum(parameter.numel() for parameter in model.parameters())
    assert read_shape(Path(tiny)).parameters == stored
