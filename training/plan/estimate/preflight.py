"""What a training run will cost, and whether it can be done at all, before anything is queued.

    python -m pytest training/tests/plan/test_preflight.py

`preflight` settles the config for these rows and this machine, chooses the micro-batch that fits
and how often a checkpoint is written, and says tokens, steps, minutes, memory and disk, each with
its band. What cannot be done comes back as refusals. Needs neither torch nor Django.
"""

import math
from dataclasses import dataclass, replace

from training.plan.estimate import costs
from training.plan.estimate.costs import CALIBRATION, Batches, Calibration
from training.plan.estimate.estimates import Band, Estimate, Facts, Machine, Refusal
from training.plan.estimate.refusals import FREE_SHARE, notes_of, refusals_of, too_few
from training.plan.estimate.token_facts import DataFacts
from training.recipes.config import (
    MIN_ROWS,
    RunFacts,
    TrainingConfig,
    default_checkpoint_every,
    planned_steps,
    resolve,
)

ENOUGH_RUNS = 3  # from then on the band narrows
# (low, high) of what is expected, by how well it is known.
TIME_BAND = {"measured": (0.75, 1.35), "rough": (0.4, 2.5)}
MEMORY_BAND = {"measured": (0.87, 1.15), "rough": (0.8, 1.3)}
GUESSED_ROWS = (0.5, 2.0)
GUESSED_MEMORY = (0.85, 1.2)


def preflight(
    config: TrainingConfig, facts: Facts, machine: Machine, by: Calibration = CALIBRATION
) -> Estimate:
    kept = _kept(config, facts.data)
    if kept.rows < MIN_ROWS:
        return Estimate(config, (too_few(kept.rows, kept.left_out, config),), rows=kept.rows)
    known = _run_facts(kept, facts, machine)
    try:
        resolved = resolve(config, known)
        resolved = _fitting(config, resolved, kept, facts, machine, by)
        per_step = _seconds_per_step(resolved, kept, facts, machine, by)
        known = replace(known, seconds_per_step=per_step)
        settled = resolve(replace(config, micro_batch_tokens=resolved.micro_batch_tokens), known)
    except ValueError as error:
        return Estimate(config, (Refusal("invalid", str(error)),), rows=kept.rows)
    return _estimate(config, settled, known, kept, facts, machine, by)


@dataclass(frozen=True)
class _Kept:
    """The rows no longer than max_seq_len; lengths without the prefix."""

    rows: int
    left_out: int
    lengths: tuple[int, ...]
    answers: tuple[int, ...]
    prefix: int

    @property
    def scale(self) -> float:
        return self.rows / max(1, len(self.lengths))

    @property
    def own_tokens(self) -> int:
        return round(sum(self.lengths) * self.scale)

    @property
    def tokens(self) -> int:
        return self.own_tokens + self.prefix * self.rows

    @property
    def answer_tokens(self) -> int:
        return round(sum(self.answers) * self.scale)


def _kept(config: TrainingConfig, data: DataFacts) -> _Kept:
    pairs = [
        (length - data.prefix, answer)
        for length, answer in zip(data.lengths, data.answers, strict=True)
        if length <= config.max_seq_len
    ]
    rows = round(data.rows * len(pairs) / max(1, len(data.lengths)))
    return _Kept(
        rows=rows,
        left_out=data.rows - rows,
        lengths=tuple(max(1, length) for length, _ in pairs),
        answers=tuple(answer for _, answer in pairs),
        prefix=data.prefix,
    )


def _run_facts(kept: _Kept, facts: Facts, machine: Machine) -> RunFacts:
    return RunFacts(
        rows=kept.rows,
        tokens=kept.own_tokens,
        longest_row=max(kept.lengths) if facts.data.is_counted else 1,  # a guess refuses nothing
        parameters=facts.shape.parameters,
        context=facts.shape.context,
        has_cuda=bool(machine.gpu),
        has_bf16=machine.has_bf16,
        prefix=kept.prefix,
        answer_tokens=kept.answer_tokens,
        lora_parameters=facts.shape.lora_parameters,
    )


def _one_pass(config: TrainingConfig, kept: _Kept) -> Batches:
    batch = config.tokens_per_batch or 1
    micro = min(config.micro_batch_tokens or batch, batch)
    return costs.one_pass(
        kept.lengths,
        kept.answers,
        prefix=kept.prefix,
        rows=kept.rows,
        micro=micro,
        batch=batch,
        is_shared=config.device != "cuda",  # a GPU's kernels want whole rows
    )


def _seconds_per_step(
    config: TrainingConfig, kept: _Kept, facts: Facts, machine: Machine, by: Calibration
) -> float:
    once = _one_pass(config, kept)
    seconds = costs.training_seconds(config, facts.shape, once, machine.rate(config), by)
    return seconds * machine.time_ratio / once.steps


def _peak(
    config: TrainingConfig, kept: _Kept, facts: Facts, machine: Machine, by: Calibration
) -> dict[str, float]:
    """Return the bytes at the worst moment, on the device, by part."""
    parts = costs.training_bytes(config, facts.shape, _one_pass(config, kept), by)
    return {part: size * machine.memory_ratio for part, size in parts.items()}


def _fitting(
    requested: TrainingConfig,
    config: TrainingConfig,
    kept: _Kept,
    facts: Facts,
    machine: Machine,
    by: Calibration,
) -> TrainingConfig:
    """Choose the largest micro-batch whose memory is there: the whole batch, or a half, a
    quarter …
    """
    room = machine.memory_for(config) * FREE_SHARE
    if requested.micro_batch_tokens or not room:
        return config
    longest, size = max(kept.lengths), config.tokens_per_batch or 1
    _, most = _memory_band(facts, machine)
    while sum(_peak(config, kept, facts, machine, by).values()) * most > room and size > longest:
        size = max(longest, size // 2)
        config = replace(config, micro_batch_tokens=max(16, size))
    return config


def _estimate(
    requested: TrainingConfig,
    config: TrainingConfig,
    known: RunFacts,
    kept: _Kept,
    facts: Facts,
    machine: Machine,
    by: Calibration,
) -> Estimate:
    once = _one_pass(config, kept)
    steps, free = _steps(config, known, once)
    if requested.checkpoint_every is None:
        every = default_checkpoint_every(steps, known.seconds_per_step)
        config = replace(config, checkpoint_every=every)
    stages = _stages(config, steps, known, once, facts, machine, by)
    parts = _peak(config, kept, facts, machine, by)
    share = steps / once.steps
    minutes = sum(stages.values()) / 60
    low, high = _time_band(facts, machine)
    least, most = _memory_band(facts, machine)
    memory = sum(parts.values())
    estimate = Estimate(
        config=config,
        rows=kept.rows,
        rows_left_out=kept.left_out,
        tokens=round(kept.tokens * share),
        answer_tokens=round(kept.answer_tokens * share),
        steps=steps,
        unbudgeted_steps=free,
        seconds_per_step=known.seconds_per_step,
        minutes=Band(low * _shortest(config, steps, stages) / 60, minutes, minutes * high),
        seconds_by_stage=stages,
        memory_bytes=Band(memory * least, memory, memory * most),
        memory_by_part=parts,
        disk_bytes=sum(costs.disk_bytes(config, facts.shape).values()),
        run_facts=known,
    )
    refusals = tuple(refusals_of(estimate, machine))
    return replace(estimate, refusals=refusals, notes=tuple(notes_of(estimate, facts, machine)))


def _steps(config: TrainingConfig, known: RunFacts, once: Batches) -> tuple[int, int]:
    """(with budgets, without): the batches of a real cut are not as full as an even division."""
    free = config.max_steps or max(1, round((config.epochs or 1) * once.steps))
    no_budget = replace(config, max_train_tokens=None, max_minutes=None)
    share = planned_steps(config, known) / planned_steps(no_budget, known)
    by_time = math.inf
    if config.max_minutes and known.seconds_per_step:
        by_time = config.max_minutes * 60 / known.seconds_per_step
    return max(1, int(min(free * share if config.max_train_tokens else free, by_time))), free


def _stages(
    config: TrainingConfig,
    steps: int,
    known: RunFacts,
    once: Batches,
    facts: Facts,
    machine: Machine,
    by: Calibration,
) -> dict[str, float]:
    training = steps * known.seconds_per_step
    seen = known.rows * steps / once.steps
    passes = (math.ceil(steps / config.eval_every)) if config.eval_every else 0
    written = costs.trainable_parameters(config, facts.shape) * 16
    times = steps // config.checkpoint_every if config.checkpoint_every else 0
    return {
        "load": costs.load_seconds(facts.shape, by),
        "train": training,
        "validate": costs.validation_seconds(training, facts.data.valid_rows, seen, passes),
        "checkpoints": times * written / by.written_bytes,
        "export": costs.export_seconds(facts.shape, by),
    }


def _shortest(config: TrainingConfig, steps: int, stages: dict[str, float]) -> float:
    """Seconds, if no evaluation after the first is better than it."""
    if not (config.patience and config.eval_every):
        return sum(stages.values())
    done = min(1.0, (config.patience + 1) * config.eval_every / steps)
    during = ("train", "validate", "checkpoints")
    return sum(spent * (done if stage in during else 1) for stage, spent in stages.items())


def _time_band(facts: Facts, machine: Machine) -> tuple[float, float]:
    low, high = TIME_BAND["measured" if machine.is_measured else "rough"]
    if machine.runs_seen >= ENOUGH_RUNS:
        low, high = math.sqrt(low), math.sqrt(high)
    few, many = (1.0, 1.0) if facts.data.is_counted else GUESSED_ROWS
    return low * few, high * many


def _memory_band(facts: Facts, machine: Machine) -> tuple[float, float]:
    low, high = MEMORY_BAND["measured" if machine.is_measured else "rough"]
    few, many = (1.0, 1.0) if facts.data.is_counted else GUESSED_MEMORY
    return low * few, high * many
