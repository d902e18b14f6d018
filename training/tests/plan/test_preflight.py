"""What the preflight says of a run before it starts: pure sums, no weights, no database."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelstation.lm.chat import load_renderer
from modelstation.testing import REPOSITORY
from training.plan.estimate import measure
from training.plan.estimate.costs import disk_bytes, one_pass
from training.plan.estimate.estimates import Facts, Machine
from training.plan.estimate.explain import explain
from training.plan.estimate.preflight import preflight
from training.plan.estimate.shapes import guessed_shape
from training.plan.estimate.token_facts import DataFacts, count_tokens, guess_tokens
from training.recipes.batches import plan_batches
from training.recipes.config import (
    MIN_STEPS,
    RunFacts,
    TrainingConfig,
    budgeted_steps,
    config_from,
    default_rank,
    resolve,
)
from training.recipes.rows import common_prefix, encode

SHAPE = guessed_shape(134_515_008, 8192)
BIG = guessed_shape(1_711_376_384, 8192)
MACHINE = Machine(
    host="here",
    cores=2,
    has_bf16=True,
    fp32_flops=140e9,
    bf16_flops=330e9,
    memory_bytes=24 << 30,
    available_bytes=20 << 30,
    disk_free=100 << 30,
    is_measured=True,
)


def data(rows=1000, length=60, answer=5, prefix=20, **fields):
    spread = range(-min(20, length - prefix - 1), 21)
    facts = {
        "rows": rows,
        "lengths": tuple(length + by for by in spread),
        "answers": (answer,) * len(spread),
        "prefix": prefix,
        "valid_rows": 64,
        "is_counted": True,
    }
    return DataFacts(**facts | fields)


def plan(shape=SHAPE, machine=MACHINE, facts=None, **requested):
    return preflight(TrainingConfig(**requested), Facts(facts or data(), shape), machine)


def codes(estimate):
    return [refusal.code for refusal in estimate.refusals]


# --- tokens ---------------------------------------------------------------------------------------


def conversations():
    requested = ["the question", "this sentence of the customer", "a number", "What is the label?"]
    return [
        [
            {"role": "system", "content": "Please classify the message with one word."},
            {"role": "user", "content": f"{requested[i % 4]} {i}"},
            {"role": "assistant", "content": "yes" if i % 2 else "no, not at all"},
        ]
        for i in range(12)
    ]


def test_tokens_are_counted_as_the_recipe_will_encode_them(tiny_llama):
    renderer = load_renderer(tiny_llama)
    facts = count_tokens(conversations(), renderer, rows=12, valid_rows=4)
    rows, _ = encode(conversations(), renderer, 512)
    assert facts.lengths == tuple(len(row.inputs) for row in rows)
    assert facts.answers == tuple(row.answer_tokens for row in rows)
    assert facts.prefix == common_prefix(rows)
    assert not facts.is_sample


def test_tokens_guessed_from_examples_grow_with_them():
    short = guess_tokens("Label.", [{"input": "hi", "output": "a"}], rows=100, valid_rows=10)
    long = guess_tokens("Label.", [{"input": "hi " * 99, "output": "a"}], rows=100, valid_rows=10)
    assert sum(long.lengths) > 3 * sum(short.lengths)
    assert short.is_sample
    assert guess_tokens("Label.", [], rows=100, valid_rows=10).lengths


def test_a_shared_prompt_is_read_once_a_batch_and_on_a_gpu_with_every_row():
    sums = {"prefix": 20, "rows": 4, "micro": 100, "batch": 100}
    shared = one_pass([25] * 4, [2] * 4, **sums)
    whole = one_pass([25] * 4, [2] * 4, is_shared=False, **sums)
    assert (shared.tokens, whole.tokens) == (120, 180)


def test_a_step_is_done_in_turns_of_the_micro_batch():
    once = one_pass([25] * 8, [2] * 8, prefix=0, rows=16, micro=50, batch=100)
    assert (once.steps, once.micro_batches, once.largest) == (4, 8, 50)
    assert once.most_answers == 4


def test_a_pass_is_cut_into_about_as_many_batches_as_the_recipe_cuts():
    facts = data(rows=2000, lengths=tuple(range(30, 130)) * 20, answers=(3,) * 2000, prefix=10)
    own = [length - 10 for length in facts.lengths]
    once = one_pass(own, facts.answers, prefix=10, rows=2000, micro=1024, batch=1024)
    cut = plan_batches(own, tokens_per_batch=1024, epochs=1, max_steps=None, seed=0)
    assert once.steps == pytest.approx(len(cut), rel=0.1)
    assert once.largest <= 1024 + 10


# --- the config -----------------------------------------------------------------------------------


def test_full_fine_tuning_learns_at_a_tenth_of_the_rate():
    lora, full = plan(), plan(method="full")
    assert full.config.learning_rate == pytest.approx(lora.config.learning_rate / 10, rel=0.01)


def test_the_rank_rises_until_the_adapter_has_a_parameter_for_every_answer_token():
    facts = RunFacts(100, 10_000, 90, 10**6, 8192, False, True, lora_parameters=1000)
    ranks = [
        default_rank(dataclasses.replace(facts, answer_tokens=tokens))
        for tokens in (10, 16_000, 16_001, 60_000, 10**9)
    ]
    assert ranks == [16, 16, 32, 64, 128]
    assert default_rank(dataclasses.replace(facts, lora_parameters=0)) == 16


def test_a_handful_of_rows_is_read_more_often_so_that_there_are_enough_steps():
    few = plan(facts=data(rows=40, length=60))
    assert few.steps >= MIN_STEPS * 0.9
    assert few.config.epochs > 3
    assert plan(facts=data(rows=5, length=30)).config.epochs == 25


def test_a_checkpoint_is_written_about_every_minute_and_four_times_in_a_run_at_least():
    slow = plan(shape=BIG)
    assert slow.config.checkpoint_every * slow.seconds_per_step == pytest.approx(60, rel=0.5)
    quick = plan(facts=data(rows=100))
    assert quick.config.checkpoint_every == quick.steps // 4
    assert plan(checkpoint_every=0).config.checkpoint_every == 0


def test_what_was_requested_for_is_what_is_resolved():
    requested = {"epochs": 2.0, "lora_rank": 7, "learning_rate": 0.01, "micro_batch_tokens": 512,
             "tokens_per_batch": 1024, "checkpoint_every": 9, "eval_every": 11}  # fmt: skip
    config = plan(**requested).config
    assert {name: getattr(config, name) for name in requested} == requested


# --- budgets --------------------------------------------------------------------------------------


def test_a_budget_of_tokens_pays_for_whole_steps():
    config = TrainingConfig(max_train_tokens=1000)
    assert budgeted_steps([300] * 10, config) == 3
    assert budgeted_steps([2000] * 10, config) == 1
    assert budgeted_steps([300] * 2, config) == 2
    assert budgeted_steps([300] * 10, TrainingConfig()) == 10


def test_a_budget_of_minutes_counts_where_the_speed_is_known():
    config = TrainingConfig(max_minutes=1.0)
    assert budgeted_steps([300] * 100, config) == 100
    assert budgeted_steps([300] * 100, config, seconds_per_step=2.0) == 30


def test_a_budget_that_bites_is_said_and_shortens_the_run():
    free = plan()
    half = plan(max_train_tokens=free.tokens // 2)
    assert half.steps == pytest.approx(free.steps / 2, rel=0.05)
    assert half.tokens <= free.tokens // 2
    assert half.unbudgeted_steps == free.steps
    assert any("budget ends the run" in note for note in half.notes)
    timed = plan(max_minutes=free.seconds_by_stage["train"] / 120)
    assert timed.steps == pytest.approx(free.steps / 2, rel=0.05)


def test_a_budget_that_ends_before_anything_is_learnt_is_refused():
    refused = plan(max_train_tokens=1000)
    assert codes(refused) == ["over_budget"]
    assert "max_tokens" in refused.refusals[0].message
    assert codes(plan(max_minutes=0.05)) == ["over_budget"]
    assert not codes(plan(max_steps=5))  # few steps, but as requested


def test_the_learning_rate_of_a_run_cut_short_is_that_of_a_short_run():
    free = plan()
    cut = plan(max_train_tokens=free.tokens // 3)
    assert cut.steps < 100
    assert cut.config.learning_rate == pytest.approx(free.config.learning_rate * 1.5, rel=0.01)


# --- estimates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"shape": SHAPE}, {"shape": BIG}),
        ({"facts": data(rows=1000)}, {"facts": data(rows=3000)}),
        ({"facts": data(length=60)}, {"facts": data(length=300)}),
        ({"epochs": 2.0}, {"epochs": 4.0}),
        ({"lora_rank": 8}, {"lora_rank": 128}),
        ({"method": "lora"}, {"method": "dora"}),
        ({"method": "lora"}, {"method": "full"}),
        ({"dtype": "bfloat16"}, {"dtype": "float32"}),
    ],
)
def test_more_work_takes_longer(less, more):
    assert plan(**less).minutes.expected < plan(**more).minutes.expected


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"shape": SHAPE}, {"shape": BIG}),
        ({"lora_rank": 8}, {"lora_rank": 128}),
        ({"method": "lora"}, {"method": "full"}),
        ({"tokens_per_batch": 512}, {"tokens_per_batch": 4096}),
        ({"facts": data(answer=5)}, {"facts": data(length=200, answer=100)}),
        ({"dtype": "bfloat16"}, {"dtype": "float32"}),
        (
            {"tokens_per_batch": 4096, "micro_batch_tokens": 512},
            {"tokens_per_batch": 4096, "micro_batch_tokens": 4096},
        ),
    ],
)
def test_more_at_once_takes_more_memory(less, more):
    assert plan(**less).memory_bytes.expected < plan(**more).memory_bytes.expected


def test_full_fine_tuning_writes_larger_checkpoints():
    lora, full = plan(), plan(method="full")
    assert full.disk_bytes > lora.disk_bytes + 10 * SHAPE.parameters
    assert disk_bytes(lora.config, SHAPE)["merged"] == 2 * SHAPE.parameters


def test_a_band_holds_what_is_expected_and_is_wider_for_what_is_not_known():
    known = plan()
    guessed = plan(facts=data(is_counted=False))
    rough = plan(machine=dataclasses.replace(MACHINE, is_measured=False))
    for band in (known.minutes, guessed.minutes, rough.minutes, known.memory_bytes):
        assert band.low < band.expected < band.high
    for wide in (guessed, rough):
        assert wide.minutes.high / wide.minutes.expected > 1.5
    assert known.minutes.high / known.minutes.expected < 1.5
    assert any("rough" in note for note in rough.notes)


def test_earlier_runs_correct_what_is_expected():
    slow = dataclasses.replace(MACHINE, time_ratio=2.0, memory_ratio=1.5, runs_seen=4)
    before, after = plan(), plan(machine=slow)
    assert after.seconds_by_stage["train"] == 2 * before.seconds_by_stage["train"]
    assert after.memory_bytes.expected == pytest.approx(1.5 * before.memory_bytes.expected)
    assert any("Corrected by 4 earlier runs" in note for note in after.notes)


def test_the_micro_batch_shrinks_until_it_fits():
    requested = {"tokens_per_batch": 8192}
    roomy = plan(**requested)
    assert roomy.config.micro_batch_tokens == 8192
    tight = plan(machine=dataclasses.replace(MACHINE, available_bytes=4 << 30), **requested)
    assert not codes(tight)
    assert tight.config.micro_batch_tokens < 8192
    assert tight.config.tokens_per_batch == 8192
    assert tight.memory_bytes.high < 4 << 30


def test_on_a_gpu_the_same_sums_use_the_gpus_numbers():
    gpu = dataclasses.replace(MACHINE, gpu="H100", gpu_memory_bytes=80 << 30, gpu_flops=600e12)
    there = plan(machine=gpu, shape=BIG)
    assert there.config.device == "cuda"
    assert there.minutes.expected < plan(shape=BIG).minutes.expected / 10
    small = dataclasses.replace(gpu, gpu_memory_bytes=2 << 30)
    refused = plan(machine=small, shape=BIG)
    assert codes(refused) == ["does_not_fit"]
    assert "H100" in refused.refusals[0].message


# --- refusals -------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_with_what_to_do():
    refused = plan(shape=BIG, machine=dataclasses.replace(MACHINE, available_bytes=3 << 30))
    assert codes(refused) == ["does_not_fit"]
    assert "will not fit" in refused.refusals[0].message
    assert "smaller base" in refused.refusals[0].hint


def test_memory_that_nobody_measured_refuses_nothing():
    assert not codes(plan(shape=BIG, machine=Machine()))


def test_too_few_rows_are_refused_and_rows_too_long_are_no_rows():
    assert codes(plan(facts=data(rows=3))) == ["not_enough_data"]
    long = plan(facts=data(rows=50, length=400), max_seq_len=100)
    assert codes(long) == ["not_enough_data"]
    assert "50 more that are longer than 100 tokens" in long.refusals[0].message


def test_a_full_disk_is_refused():
    refused = plan(machine=dataclasses.replace(MACHINE, disk_free=300 << 20))
    assert codes(refused) == ["not_enough_disk"]


def test_what_cannot_be_resolved_is_refused_with_its_sentence():
    refused = plan(max_seq_len=16_384)
    assert codes(refused) == ["invalid"]
    assert "more than the base model can read" in refused.refusals[0].message


def test_a_guess_at_the_rows_refuses_no_batch_as_too_small():
    assert not codes(plan(facts=data(length=900, is_counted=False), tokens_per_batch=256))


# --- reasons --------------------------------------------------------------------------------------


def test_explain_has_a_sentence_for_every_setting():
    requested = TrainingConfig(epochs=2.0)
    reasons = explain(requested, preflight(requested, Facts(data(), SHAPE), MACHINE), MACHINE)
    assert reasons.keys() == TrainingConfig().to_json().keys()
    assert all(reason.endswith(".") for reason in reasons.values()), reasons
    assert reasons["epochs"] == "As you asked."
    assert "135 million" in reasons["learning_rate"]
    assert "1.5" not in reasons["learning_rate"]


def test_explain_says_what_a_costly_method_costs():
    for method, word in (("full", "16 bytes"), ("dora", "third")):
        requested = TrainingConfig(method=method)
        reasons = explain(requested, preflight(requested, Facts(data(), SHAPE), MACHINE), MACHINE)
        assert word in reasons["method"]


# --- whatever is requested ------------------------------------------------------------------------

REQUESTED = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["lora", "dora", "full"]),
        "lora_rank": st.integers(1, 256),
        "learning_rate": st.floats(1e-7, 0.1),
        "epochs": st.floats(0.01, 100),
        "max_steps": st.integers(1, 1_000_000),
        "tokens_per_batch": st.integers(16, 1 << 20),
        "micro_batch_tokens": st.integers(16, 1 << 20),
        "max_seq_len": st.integers(16, 1 << 17),
        "eval_every": st.integers(0, 1_000_000),
        "patience": st.integers(0, 1000),
        "checkpoint_every": st.integers(0, 1_000_000),
        "max_minutes": st.floats(0.05, 43_200),
        "max_tokens": st.integers(1_000, 10**12),
        "dtype": st.sampled_from(["auto", "bfloat16", "float32"]),
        "device": st.sampled_from(["auto", "cpu", "cuda"]),
    },
)


@settings(max_examples=150, deadline=None)
@given(
    requested=REQUESTED,
    rows=st.integers(0, 10**7),
    lengths=st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 500)), max_size=40),
    prefix=st.integers(0, 500),
    is_counted=st.booleans(),
    parameters=st.integers(1_000, 10**11),
    available=st.integers(0, 1 << 40),
)
def test_whatever_is_requested_gets_an_estimate_or_a_refusal(
    requested, rows, lengths, prefix, is_counted, parameters, available
):
    facts = DataFacts(
        rows=rows,
        lengths=tuple(length + prefix for length, _ in lengths),
        answers=tuple(answer for _, answer in lengths),
        prefix=prefix,
        valid_rows=rows // 10,
        is_counted=is_counted,
    )
    machine = dataclasses.replace(MACHINE, available_bytes=available)
    config = config_from(requested)
    estimate = preflight(config, Facts(facts, guessed_shape(parameters, 8192)), machine)
    explain(config, estimate, machine)
    if estimate.refusals:
        assert all(refusal.message for refusal in estimate.refusals)
        return
    assert estimate.steps >= 1
    assert None not in (estimate.config.lora_rank, estimate.config.micro_batch_tokens)
    assert math.isfinite(estimate.minutes.high)
    assert 0 < estimate.memory_bytes.low < estimate.memory_bytes.high
    assert resolve(estimate.config, estimate.run_facts) == estimate.config


# --- the machine ----------------------------------------------------------------------------------


def test_a_containers_limit_is_the_machines_memory(tmp_path, monkeypatch):
    total, available = measure.memory()
    assert 0 < available <= total
    limit, used = tmp_path / "max", tmp_path / "current"
    limit.write_text(f"{1 << 20}\n")
    used.write_text(f"{1 << 19}\n")
    monkeypatch.setattr(measure, "CGROUPS", ((str(limit), str(used)),))
    assert measure.memory() == (1 << 20, 1 << 19)
    limit.write_text("max\n")
    assert measure.memory()[0] == total


def test_the_machine_is_measured_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "training.plan.estimate.measure"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    machine = Machine(**json.loads(done.stdout.strip().splitlines()[-1]))
    assert machine.fp32_flops > 0
    assert machine.memory_bytes >= machine.available_bytes > 0
    assert machine.cores >= 1


def test_none_of_it_loads_torch():
    code = (
        "import sys, training.plan.estimate.preflight, training.plan.estimate.explain;"
        "import training.plan.estimate.measure, training.plan.estimate.token_facts;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "False", done.stderr
