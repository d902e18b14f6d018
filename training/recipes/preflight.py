"""What a training run will cost, and whether it can be done at all, before anything is queued.

    python -m pytest training/tests/test_preflight.py

`preflight` settles the config for these rows and this machine, chooses the micro-batch that fits
and how often a checkpoint is written, and says tokens, steps, minutes, memory and disk, each with
its band. What cannot be done comes back as refusals. Needs neither torch nor Django.
"""

import math
from dataclasses import dataclass, replace

from training.recipes import costs
from training.recipes.config import (
    MIN_ROWS,
    USEFUL_STEPS,
    RunFacts,
    TrainingConfig,
    default_checkpoint_every,
    planned_steps,
    resolve,
)
from training.recipes.costs import CALIBRATION, Batches, Calibration
from training.recipes.shapes import BaseShape
from training.recipes.token_facts import DataFacts

FREE_SHARE = 0.95  # of the available memory; the rest is other people's
FREE_DISK = 512 << 20  # left over, so that nobody else's work fails
ENOUGH_RUNS = 3  # from then on the band narrows
# (low, high) of what is expected, by how well it is known.
TIME_BAND = {"measured": (0.75, 1.35), "rough": (0.4, 2.5)}
MEMORY_BAND = {"measured": (0.87, 1.15), "rough": (0.8, 1.3)}
GUESSED_ROWS = (0.5, 2.0)
GUESSED_MEMORY = (0.85, 1.2)


@dataclass(frozen=True)
class Machine:
    """Where the run will be. Rates are operations a second of its best matrix product. The ratios
    are what earlier runs took over what was expected of them.
    """

    host: str = ""
    cores: int = 1
    has_bf16: bool = False
    fp32_flops: float = 40e9
    bf16_flops: float = 0.0
    memory_bytes: int = 0  # 0: not known
    available_bytes: int = 0
    disk_free: int = 0
    gpu: str = ""
    gpus: int = 0  # all alike; each takes its share of a batch
    gpu_memory_bytes: int = 0
    gpu_flops: float = 0.0
    is_measured: bool = False
    time_ratio: float = 1.0
    memory_ratio: float = 1.0
    runs_seen: int = 0

    def rate(self, config: TrainingConfig) -> float:
        if config.device == "cuda" and self.gpu_flops:
            return self.gpu_flops * max(1, self.gpus)
        return (self.bf16_flops if config.dtype == "bfloat16" else 0) or self.fp32_flops

    def memory_for(self, config: TrainingConfig) -> int:
        return self.gpu_memory_bytes if config.device == "cuda" else self.available_bytes


@dataclass(frozen=True)
class Facts:
    data: DataFacts
    shape: BaseShape


@dataclass(frozen=True)
class Band:
    low: float
    expected: float
    high: float


@dataclass(frozen=True)
class Refusal:
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Estimate:
    """`config` is what would be used. Where it cannot be settled at all there are refusals and
    nothing else.
    """

    config: TrainingConfig
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    rows: int = 0
    rows_left_out: int = 0
    tokens: int = 0  # read in the whole run
    answer_tokens: int = 0
    steps: int = 0
    unbudgeted_steps: int = 0  # without max_minutes and max_tokens
    seconds_per_step: float = 0.0
    minutes: Band = Band(0, 0, 0)
    seconds_by_stage: dict[str, float] | None = None
    memory_bytes: Band = Band(0, 0, 0)
    memory_by_part: dict[str, float] | None = None
    disk_bytes: int = 0
    run_facts: RunFacts | None = None


def preflight(
    config: TrainingConfig, facts: Facts, machine: Machine, by: Calibration = CALIBRATION
) -> Estimate:
    kept = _kept(config, facts.data)
    if kept.rows < MIN_ROWS:
        return Estimate(config, (_too_few(kept, config),), rows=kept.rows)
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
    """Bytes at the worst moment, on the device, by part."""
    parts = costs.training_bytes(config, facts.shape, _one_pass(config, kept), by)
    return {part: size * machine.memory_ratio for part, size in parts.items()}


def _fitting(
    asked: TrainingConfig,
    config: TrainingConfig,
    kept: _Kept,
    facts: Facts,
    machine: Machine,
    by: Calibration,
) -> TrainingConfig:
    """The largest micro-batch whose memory is there: the whole batch, or a half, a quarter …"""
    room = machine.memory_for(config) * FREE_SHARE
    if asked.micro_batch_tokens or not room:
        return config
    longest, size = max(kept.lengths), config.tokens_per_batch or 1
    _, most = _memory_band(facts, machine)
    while sum(_peak(config, kept, facts, machine, by).values()) * most > room and size > longest:
        size = max(longest, size // 2)
        config = replace(config, micro_batch_tokens=max(16, size))
    return config


def _estimate(
    asked: TrainingConfig,
    config: TrainingConfig,
    known: RunFacts,
    kept: _Kept,
    facts: Facts,
    machine: Machine,
    by: Calibration,
) -> Estimate:
    once = _one_pass(config, kept)
    steps, free = _steps(config, known, once)
    if asked.checkpoint_every is None:
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
    refusals = tuple(_refusals(estimate, machine))
    return replace(estimate, refusals=refusals, notes=tuple(_notes(estimate, facts, machine)))


def _steps(config: TrainingConfig, known: RunFacts, once: Batches) -> tuple[int, int]:
    """(with budgets, without): the batches of a real cut are not as full as an even division."""
    free = config.max_steps or max(1, round((config.epochs or 1) * once.steps))
    no_budget = replace(config, max_tokens=None, max_minutes=None)
    share = planned_steps(config, known) / planned_steps(no_budget, known)
    by_time = math.inf
    if config.max_minutes and known.seconds_per_step:
        by_time = config.max_minutes * 60 / known.seconds_per_step
    return max(1, int(min(free * share if config.max_tokens else free, by_time))), free


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


# --- what is refused, and what is said ------------------------------------------------------------


def _refusals(estimate: Estimate, machine: Machine) -> list[Refusal]:
    found = [
        _does_not_fit(estimate, machine),
        _disk_is_full(estimate, machine),
        _over_budget(estimate),
    ]
    return [refusal for refusal in found if refusal]


def _too_few(kept: _Kept, config: TrainingConfig) -> Refusal:
    longer = (
        f", and {kept.left_out} more that are longer than {config.max_seq_len} tokens"
        if kept.left_out
        else ""
    )
    have = f"{kept.rows} row{'' if kept.rows == 1 else 's'} to train on{longer}"
    hint = "Raise max_seq_len, or add rows." if kept.left_out else "Add examples or sources."
    return Refusal(
        "not_enough_data", f"Not enough data: {have}; at least {MIN_ROWS} are needed.", hint
    )


def _does_not_fit(estimate: Estimate, machine: Machine) -> Refusal | None:
    config = estimate.config
    room = machine.memory_for(config)
    if not room or estimate.memory_bytes.high <= room * FREE_SHARE:
        return None
    where = f"the GPU ({machine.gpu})" if config.device == "cuda" else "this machine"
    method = "; full fine-tuning needs most, lora least" if config.method == "full" else ""
    return Refusal(
        "does_not_fit",
        f"This will not fit: training needs about {gigabytes(estimate.memory_bytes.expected)} of "
        f"memory, up to {gigabytes(estimate.memory_bytes.high)}, and {where} has "
        f"{gigabytes(room)} free.",
        f"Choose a smaller base, or lower max_seq_len or micro_batch_tokens{method}.",
    )


def _disk_is_full(estimate: Estimate, machine: Machine) -> Refusal | None:
    if not machine.disk_free or estimate.disk_bytes + FREE_DISK <= machine.disk_free:
        return None
    return Refusal(
        "not_enough_disk",
        f"Not enough disk: checkpoints and artifacts need {gigabytes(estimate.disk_bytes)}, and "
        f"{gigabytes(machine.disk_free)} are free.",
        "Delete models that are no longer used, or ask the operator for space.",
    )


def _over_budget(estimate: Estimate) -> Refusal | None:
    wanted = min(USEFUL_STEPS, estimate.unbudgeted_steps)
    if estimate.steps >= wanted:
        return None
    config = estimate.config
    names = [name for name in ("max_minutes", "max_tokens") if getattr(config, name)]
    needed = estimate.seconds_per_step * wanted / 60
    return Refusal(
        "over_budget",
        f"The budget ({' and '.join(names)}) ends after {estimate.steps} "
        f"step{'' if estimate.steps == 1 else 's'}; fewer than {wanted} teach a model nothing.",
        f"{wanted} steps take about {needed:.1f} minutes of training: raise the budget, choose a "
        "smaller base, or lower tokens_per_batch.",
    )


def _notes(estimate: Estimate, facts: Facts, machine: Machine) -> list[str]:
    config, notes = estimate.config, []
    if not machine.is_measured:
        notes.append(
            "The machine has not been measured yet, so times are rough: a training worker measures "
            "it when it starts."
        )
    if not facts.data.is_counted:
        notes.append("There is no dataset yet: tokens are guessed from the rows asked for.")
    if estimate.rows_left_out:
        notes.append(
            f"{estimate.rows_left_out} rows are longer than {config.max_seq_len} tokens and are "
            "left out."
        )
    if estimate.steps < estimate.unbudgeted_steps and (config.max_minutes or config.max_tokens):
        notes.append(
            f"The budget ends the run after about {estimate.steps} of "
            f"{estimate.unbudgeted_steps} steps; the learning rate falls to its last by then, and "
            "the best checkpoint is kept."
        )
    if machine.runs_seen:
        notes.append(
            f"Corrected by {machine.runs_seen} earlier run{'s' * (machine.runs_seen > 1)} here: "
            f"time × {machine.time_ratio:.2f}, memory × {machine.memory_ratio:.2f}."
        )
    return notes


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
