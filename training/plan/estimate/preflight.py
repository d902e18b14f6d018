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

Bounds = tuple[float, float]
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
    forecast = _Forecast(kept, facts, machine, by)
    known = forecast.run_facts()
    try:
        resolved = forecast.fitting(config, resolve(config, known))
        known = replace(known, seconds_per_step=forecast.seconds_per_step(resolved))
        settled = resolve(replace(config, micro_batch_tokens=resolved.micro_batch_tokens), known)
    except ValueError as error:
        return Estimate(config, (Refusal("invalid", str(error)),), rows=kept.rows)
    return forecast.estimate(config, settled, known)


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
    def answer_tokens(self) -> int:
        return round(sum(self.answers) * self.scale)


def _kept(config: TrainingConfig, data: DataFacts) -> _Kept:
    pairs = [
        (max(1, length - data.prefix), answer)
        for length, answer in zip(data.lengths, data.answers, strict=True)
        if length <= config.max_seq_len
    ]
    rows = round(data.rows * len(pairs) / max(1, len(data.lengths)))
    lengths, answers = zip(*pairs, strict=True) if pairs else ((), ())
    return _Kept(rows, data.rows - rows, lengths, answers, data.prefix)


@dataclass(frozen=True)
class _Forecast:
    """What a config would take with these rows, on this machine."""

    kept: _Kept
    facts: Facts
    machine: Machine
    by: Calibration

    def run_facts(self) -> RunFacts:
        kept, shape = self.kept, self.facts.shape
        return RunFacts(
            rows=kept.rows,
            tokens=kept.own_tokens,
            # A guess refuses nothing.
            longest_row=max(kept.lengths) if self.facts.data.is_counted else 1,
            parameters=shape.parameters,
            context=shape.context,
            has_cuda=bool(self.machine.gpu),
            has_bf16=self.machine.has_bf16,
            prefix=kept.prefix,
            answer_tokens=kept.answer_tokens,
            lora_parameters=shape.lora_parameters,
        )

    def one_pass(self, config: TrainingConfig) -> Batches:
        kept, batch = self.kept, config.tokens_per_batch or 1
        return costs.one_pass(
            kept.lengths,
            kept.answers,
            prefix=kept.prefix,
            rows=kept.rows,
            micro=min(config.micro_batch_tokens or batch, batch),
            batch=batch,
            is_shared=config.device != "cuda",  # a GPU's kernels want whole rows
        )

    def seconds_per_step(self, config: TrainingConfig) -> float:
        once, rate = self.one_pass(config), self.machine.rate(config)
        seconds = costs.training_seconds(config, self.facts.shape, once, rate, self.by)
        return seconds * self.machine.time_ratio / once.steps

    def peak(self, config: TrainingConfig) -> dict[str, float]:
        """Return the bytes at the worst moment, on the device, by part."""
        once = self.one_pass(config)
        parts = costs.training_bytes(config, self.facts.shape, once, self.by)
        return {part: size * self.machine.memory_ratio for part, size in parts.items()}

    def fitting(self, requested: TrainingConfig, config: TrainingConfig) -> TrainingConfig:
        """Choose the largest micro-batch that memory holds: the batch, a half, a quarter …"""
        room = self.machine.memory_for(config) * FREE_SHARE
        if requested.micro_batch_tokens or not room:
            return config
        longest, size = max(self.kept.lengths), config.tokens_per_batch or 1
        _, most = self.band(MEMORY_BAND, GUESSED_MEMORY)
        while sum(self.peak(config).values()) * most > room and size > longest:
            size = max(longest, size // 2)
            config = replace(config, micro_batch_tokens=max(16, size))
        return config

    def estimate(
        self, requested: TrainingConfig, config: TrainingConfig, known: RunFacts
    ) -> Estimate:
        kept, once = self.kept, self.one_pass(config)
        steps, free = _steps(config, known, once)
        if requested.checkpoint_every is None:
            every = default_checkpoint_every(steps, known.seconds_per_step)
            config = replace(config, checkpoint_every=every)
        stages, parts = self.stages(config, steps, known, once), self.peak(config)
        share = steps / once.steps
        minutes, memory = sum(stages.values()) / 60, sum(parts.values())
        low, high = self.band(TIME_BAND, GUESSED_ROWS, is_narrowed=True)
        least, most = self.band(MEMORY_BAND, GUESSED_MEMORY)
        estimate = Estimate(
            config=config,
            rows=kept.rows,
            rows_left_out=kept.left_out,
            tokens=round((kept.own_tokens + kept.prefix * kept.rows) * share),
            answer_tokens=round(kept.answer_tokens * share),
            steps=steps,
            unbudgeted_steps=free,
            seconds_per_step=known.seconds_per_step,
            minutes=Band(low * _shortest(config, steps, stages) / 60, minutes, minutes * high),
            seconds_by_stage=stages,
            memory_bytes=Band(memory * least, memory, memory * most),
            memory_by_part=parts,
            disk_bytes=sum(costs.disk_bytes(config, self.facts.shape).values()),
            run_facts=known,
        )
        refusals = tuple(refusals_of(estimate, self.machine))
        notes = tuple(notes_of(estimate, self.facts, self.machine))
        return replace(estimate, refusals=refusals, notes=notes)

    def stages(
        self, config: TrainingConfig, steps: int, known: RunFacts, once: Batches
    ) -> dict[str, float]:
        shape, training = self.facts.shape, steps * known.seconds_per_step
        seen = known.rows * steps / once.steps
        passes = math.ceil(steps / config.eval_every) if config.eval_every else 0
        written = costs.trainable_parameters(config, shape) * 16
        times = steps // config.checkpoint_every if config.checkpoint_every else 0
        valid_rows = min(self.facts.data.valid_rows, costs.MAX_VALID_ROWS)
        return {
            "load": costs.load_seconds(shape, self.by),
            "train": training,
            "validate": training / max(1.0, seen) * costs.FORWARD_SHARE * valid_rows * passes,
            "checkpoints": times * written / self.by.written_bytes,
            "export": costs.export_seconds(shape, self.by),
        }

    def band(
        self, bands: dict[str, Bounds], guessed: Bounds, *, is_narrowed: bool = False
    ) -> Bounds:
        """Return (low, high) of what is expected; `is_narrowed` by enough earlier runs."""
        low, high = bands["measured" if self.machine.is_measured else "rough"]
        if is_narrowed and self.machine.runs_seen >= ENOUGH_RUNS:
            low, high = math.sqrt(low), math.sqrt(high)
        few, many = (1.0, 1.0) if self.facts.data.is_counted else guessed
        return low * few, high * many


def _steps(config: TrainingConfig, known: RunFacts, once: Batches) -> tuple[int, int]:
    """(with budgets, without): the batches of a real cut are not as full as an even division."""
    free = config.max_steps or max(1, round((config.epochs or 1) * once.steps))
    no_budget = replace(config, max_train_tokens=None, max_minutes=None)
    share = planned_steps(config, known) / planned_steps(no_budget, known)
    by_time = math.inf
    if config.max_minutes and known.seconds_per_step:
        by_time = config.max_minutes * 60 / known.seconds_per_step
    return max(1, int(min(free * share if config.max_train_tokens else free, by_time))), free


def _shortest(config: TrainingConfig, steps: int, stages: dict[str, float]) -> float:
    """Seconds, if no evaluation after the first is better than it."""
    if not (config.patience and config.eval_every):
        return sum(stages.values())
    done = min(1.0, (config.patience + 1) * config.eval_every / steps)
    during = ("train", "validate", "checkpoints")
    return sum(spent * (done if stage in during else 1) for stage, spent in stages.items())
