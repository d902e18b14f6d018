"""What a training run leaves to read: its steps, losses, speed and memory. Needs no torch.

python -m pytest training/tests/runs/test_child.py
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class TrainingFacts:
    """Seconds are those of training alone, over all attempts; `valid_losses` are by step."""

    steps: int = 0
    train_tokens: int = 0
    answer_tokens: int = 0
    final_loss: float | None = None
    best_step: int = 0
    best_valid_loss: float | None = None
    valid_losses: Mapping[int, float] = field(default_factory=dict)
    tokens_per_second: float = 0.0
    seconds: float = 0.0
    ended_by: str = "all_steps"  # early_stop, max_minutes, max_tokens
    resumed_from: int = 0
    peak_memory_bytes: int = 0
    base_name: str = ""
    device: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return them as a run keeps them; a run that has not ended keeps none."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
