"""What can be requested of a training run, what it gets by default, and what is refused before
weights are loaded.

    python -m pytest training/tests/recipes/test_recipe.py -k config

Defaults follow "LoRA without regret": a learning rate about ten times that of full tuning, small
batches, few epochs but enough steps. A field left at None is filled in by `resolve` from the facts
of this run.
"""

import math
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any

import numpy as np

Setting = int | float | str | None
Settings = dict[str, Setting]  # of a config, as JSON, forms and users write them

METHODS = ("lora", "dora", "full")
DTYPES = ("auto", "bfloat16", "float32")
DEVICES = ("auto", "cpu", "cuda")
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "a text"),
}

MIN_ROWS = 4
MIN_STEPS = 120
FEW_STEPS = 100
MAX_EPOCHS = 25.0  # more passes over the same rows learn them by heart
USEFUL_STEPS = 30  # a budget that ends before them buys nothing
MAX_ROWS_PER_BATCH = 32
SMALLEST_BATCH_TOKENS = 128
BATCH_TOKENS = {"cpu": 1024, "cuda": 8192}
EVALS_PER_RUN = 6
CHECKPOINTS_PER_RUN = 4  # at least: what a lost worker may cost is bounded
CHECKPOINT_SECONDS = 60.0
# 16 is the rank our defaults were measured with; more only where the answers hold more tokens than
# the adapter has parameters.
LORA_RANKS = (16, 32, 64, 128)
FULL_TUNING_RATE = 0.1  # of LoRA's: low-rank updates want about ten times the rate
# (parameters, learning rate): measured marks, interpolated on logarithmic scales between them
LEARNING_RATES = ((135e6, 1.3e-3), (360e6, 8.9e-4), (600e6, 5.3e-4), (1.7e9, 3e-4))


def _within(default: float | None, low: float, high: float, zero: str = "", name: str = "") -> Any:
    """State bounds; `zero` says what 0 means, `name` how JSON calls the field."""
    return field(default=default, metadata={"bounds": (low, high), "zero": zero, "name": name})


def _one_of(choices: tuple[str, ...]) -> Any:
    """State a text, the first of `choices` where none is given."""
    return field(default=choices[0], metadata={"choices": choices})


@dataclass(frozen=True)
class TrainingConfig:
    """One run: every setting with its default and its bounds.

    Lengths and batches are in tokens, ratios are shares of all steps or of the peak rate.
    `tokens_per_batch` are those of one optimiser step, taken `micro_batch_tokens` at a time.
    `patience` counts evaluations without a better one, `checkpoint_every` steps; `max_minutes` (of
    the training itself) and `max_train_tokens` (read, over all passes) end the run with the best
    adapter so far.
    """

    seed: int = _within(0, 0, 2**32 - 1)
    method: str = _one_of(METHODS)
    lora_rank: int | None = _within(None, 1, 256)
    lora_alpha: int = _within(32, 1, 1024)
    learning_rate: float | None = _within(None, 1e-7, 0.1)
    epochs: float | None = _within(None, 0.01, 100)
    max_steps: int | None = _within(None, 1, 1_000_000)
    tokens_per_batch: int | None = _within(None, 16, 1 << 20)
    micro_batch_tokens: int | None = _within(None, 16, 1 << 20)
    max_seq_len: int = _within(1024, 16, 1 << 17)
    warmup_ratio: float = _within(0.05, 0, 0.5)
    final_lr_ratio: float = _within(0.1, 0, 1)
    weight_decay: float = _within(0.0, 0, 1)
    max_grad_norm: float = _within(1.0, 0, 1000)
    eval_every: int | None = _within(None, 0, 1_000_000, zero="never")
    patience: int = _within(3, 0, 1000, zero="never stop")
    checkpoint_every: int | None = _within(None, 0, 1_000_000, zero="never")
    max_minutes: float | None = _within(None, 0.05, 43_200)
    # JSON had this name before there was a limit of generated tokens; stored configs keep it.
    max_train_tokens: int | None = _within(None, 1_000, 10**12, name="max_tokens")
    dtype: str = _one_of(DTYPES)
    device: str = _one_of(DEVICES)

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            _check(name, setting, getattr(self, setting.name))
        _require(self.max_grad_norm > 0, "max_grad_norm must be above 0.")

    def to_json(self) -> Settings:
        return {name: getattr(self, setting.name) for name, setting in SETTINGS.items()}


# Every setting by its name in JSON.
SETTINGS = {each.metadata.get("name") or each.name: each for each in fields(TrainingConfig)}


def config_from(values: Settings) -> TrainingConfig:
    """Return the config of settings in JSON; ValueError names one that is unknown or invalid."""
    if unknown := sorted(values.keys() - SETTINGS.keys()):
        known = ", ".join(sorted(SETTINGS))
        raise ValueError(f"Unknown training setting {unknown[0]!r}. Known are: {known}.")
    return TrainingConfig(**{SETTINGS[name].name: value for name, value in values.items()})  # type: ignore[arg-type]


@dataclass(frozen=True)
class RunFacts:
    """What is known before a weight is loaded: the rows in tokens, the base's size and window, the
    machine.

    `tokens` and `longest_row` are without the `prefix` that all rows open with. The fields with a
    default are known to the preflight; what depends on them has a plain default without it.
    """

    rows: int
    tokens: int
    longest_row: int
    parameters: int
    context: int
    has_cuda: bool
    has_bf16: bool
    prefix: int = 0
    answer_tokens: int = 0
    lora_parameters: int = 0  # of rank 1
    seconds_per_step: float = 0.0


def bounds_of(name: str) -> tuple[float, float]:
    """Return the lowest and the highest value of a setting that is a number."""
    low, high = SETTINGS[name].metadata["bounds"]
    return low, high


def resolve(config: TrainingConfig, facts: RunFacts) -> TrainingConfig:
    """Return the config with no None and "auto" left; ValueError for what this run cannot do."""
    _refuse_impossible(config, facts)
    device, dtype = config.device, config.dtype
    if device == "auto":
        device = "cuda" if facts.has_cuda else "cpu"
    epochs = config.epochs or default_epochs(facts.rows)
    wanted_steps = config.max_steps or MIN_STEPS
    budget = config.tokens_per_batch or default_batch_tokens(facts, epochs, wanted_steps, device)
    epochs = config.epochs or _enough_epochs(epochs, facts.tokens / budget, config)
    config = replace(config, device=device, epochs=epochs, tokens_per_batch=budget)
    steps = planned_steps(config, facts)
    rate = default_learning_rate(facts.parameters, steps, config.method)
    evaluate, save = config.eval_every, config.checkpoint_every
    if evaluate is None:  # 0 says "never"
        evaluate = max(10, steps // EVALS_PER_RUN)
    if save is None:
        save = default_checkpoint_every(steps, facts.seconds_per_step)
    return replace(
        config,
        dtype=("bfloat16" if facts.has_bf16 else "float32") if dtype == "auto" else dtype,
        lora_rank=config.lora_rank or default_rank(facts),
        learning_rate=config.learning_rate or rate,
        micro_batch_tokens=min(config.micro_batch_tokens or budget, budget),
        eval_every=evaluate,
        checkpoint_every=save,
    )


def planned_steps(config: TrainingConfig, facts: RunFacts) -> int:
    """Optimiser steps of a config whose epochs and batch are settled; its budgets end them."""
    per_pass = facts.tokens / (config.tokens_per_batch or 1)
    steps = config.max_steps or max(1, round((config.epochs or 1) * per_pass))
    read = (facts.tokens + facts.prefix * facts.rows) / per_pass if per_pass else 0
    most = min(steps, _steps_in_time(config, facts.seconds_per_step))
    if config.max_train_tokens and read:
        most = min(most, config.max_train_tokens / read)
    return max(1, int(most))


def budgeted_steps(
    step_tokens: Iterable[int], config: TrainingConfig, *, seconds_per_step: float = 0.0
) -> int:
    """Return how many of the planned steps the budgets pay for, at least one: the learning rate's
    schedule ends there.

    `step_tokens` are the tokens that each planned step reads, as `max_train_tokens` counts them;
    `max_minutes` counts only where it is known how long a step takes.
    """
    most, steps, read = _steps_in_time(config, seconds_per_step), 0, 0
    for tokens in step_tokens:
        read += tokens
        if steps + 1 > most or (config.max_train_tokens and read > config.max_train_tokens):
            break
        steps += 1
    return max(1, steps)


def _steps_in_time(config: TrainingConfig, seconds_per_step: float) -> float:
    if not config.max_minutes or seconds_per_step <= 0:
        return math.inf
    return config.max_minutes * 60 / seconds_per_step


def default_epochs(rows: int) -> float:
    """Three passes; more over a handful of rows, fewer over a great many."""
    few, many = min(MAX_EPOCHS, 100 / rows), max(1.0, 25_000 / rows)
    return few if few > 3 else min(3.0, many)


def _enough_epochs(epochs: float, steps_per_pass: float, config: TrainingConfig) -> float:
    """More passes where the rows are so few that even the smallest batches make too few steps."""
    if config.max_steps or steps_per_pass * epochs >= MIN_STEPS - 1:
        return epochs
    return round(min(MAX_EPOCHS, max(epochs, MIN_STEPS / steps_per_pass)), 2)


def default_batch_tokens(facts: RunFacts, epochs: float, steps: int, device: str) -> int:
    """Return the device's budget, less where the epochs would make fewer than `steps` updates."""
    wanted = int(epochs * facts.tokens / steps)
    return max(facts.longest_row, SMALLEST_BATCH_TOKENS, min(BATCH_TOKENS[device], wanted))


def default_rank(facts: RunFacts) -> int:
    """Return the lowest rank whose adapter has a parameter for each answer token to learn."""
    wanted = max(1, facts.answer_tokens)
    room = (rank for rank in LORA_RANKS if rank * facts.lora_parameters >= wanted)
    return next(room, LORA_RANKS[-1] if facts.lora_parameters else LORA_RANKS[0])


def default_checkpoint_every(steps: int, seconds_per_step: float) -> int:
    """About a minute of steps, and never more than a quarter of the run."""
    most = max(1, steps // CHECKPOINTS_PER_RUN)
    minute = round(CHECKPOINT_SECONDS / seconds_per_step) if seconds_per_step > 0 else most
    return max(1, min(most, minute))


def default_learning_rate(parameters: int, steps: int, method: str = "lora") -> float:
    sizes, rates = zip(*LEARNING_RATES, strict=True)
    rate = math.exp(np.interp(math.log(max(1, parameters)), np.log(sizes), np.log(rates)))
    rate *= FULL_TUNING_RATE if method == "full" else 1.0
    return float(f"{rate * (1.5 if steps < FEW_STEPS else 1.0):.3g}")


def _refuse_impossible(config: TrainingConfig, facts: RunFacts) -> None:
    _require(
        config.max_seq_len <= facts.context,
        f"max_seq_len {config.max_seq_len} is more than the base model can read "
        f"({facts.context} tokens).",
    )
    for name in ("tokens_per_batch", "micro_batch_tokens"):
        tokens = getattr(config, name)
        _require(
            tokens is None or tokens >= facts.longest_row,
            f"{name} {tokens} is less than the longest row "
            f"({facts.longest_row} tokens): raise it or lower max_seq_len.",
        )
    _require(
        config.device != "cuda" or facts.has_cuda,
        "device is cuda, but this machine has no CUDA GPU.",
    )
    _require(
        config.dtype != "bfloat16" or facts.has_bf16,
        "dtype is bfloat16, but this machine has no bfloat16 arithmetic: use float32 or auto.",
    )


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


def _check(name: str, setting: Field[Any], value: Setting) -> None:
    """Values come out of JSON and forms, so a dataclass' annotations alone promise nothing."""
    if value is None and "None" in str(setting.type):
        return
    wanted, word = next(KINDS[kind] for kind in KINDS if kind in str(setting.type))
    usable = isinstance(value, wanted) and not isinstance(value, bool)
    _require(usable and value == value, f"{name} must be {word}.")
    if choices := setting.metadata.get("choices"):
        _require(value in choices, f"{name} must be one of: {', '.join(choices)}.")
        return
    low, high = setting.metadata["bounds"]
    zero = f" ({setting.metadata['zero']})" if setting.metadata["zero"] else ""
    _require(low <= value <= high, f"{name} must be between {low}{zero} and {high}.")
