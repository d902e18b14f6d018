"""What the preflight takes and what it returns: the machine, the rows, the estimate with its
bands.

    python -m pytest training/tests/plan/test_preflight.py
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from training.plan.estimate.shapes import BaseShape
from training.plan.estimate.token_facts import DataFacts
from training.recipes.config import RunFacts, Settings, TrainingConfig


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
    """`config` is what would be used; where it cannot be settled, there are refusals alone."""

    config: TrainingConfig
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    rows: int = 0
    rows_left_out: int = 0
    tokens: int = 0  # read in the whole run
    answer_tokens: int = 0
    steps: int = 0
    unbudgeted_steps: int = 0  # without max_minutes and max_train_tokens
    seconds_per_step: float = 0.0
    minutes: Band = Band(0, 0, 0)
    seconds_by_stage: dict[str, float] | None = None
    memory_bytes: Band = Band(0, 0, 0)
    memory_by_part: dict[str, float] | None = None
    disk_bytes: int = 0
    run_facts: RunFacts | None = None


@dataclass(frozen=True)
class RunPlan:
    """What was expected of a run when it started, as it is kept with it.

    `training_seconds` and `training_bytes` are without the correction by earlier runs: the next
    correction is made from these. `config` is what its child got.
    """

    host: str = ""
    steps: int = 0
    tokens: int = 0
    minutes: Band = Band(0, 0, 0)
    peak_memory: Band = Band(0, 0, 0)
    disk_bytes: int = 0
    training_seconds: float = 0.0
    training_bytes: float = 0.0
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    config: Settings = field(default_factory=dict)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Return the plan of a run; the empty one of a run that has not started."""
        known = {name: kept[name] for name in cls.__dataclass_fields__ if name in kept}
        for name in known.keys() & {"minutes", "peak_memory"}:
            known[name] = Band(**known[name])
        return cls(**known)
