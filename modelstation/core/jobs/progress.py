"""How far a job is: what its work reports last, as the row keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class JobProgress:
    """Figures of the current stage; those that its work does not report are None. An import or an
    export reports more, which its own page reads from the row."""

    step: int = 0
    total_steps: int = 0
    loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    memory_bytes: float | None = None
    eta_seconds: float | None = None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        names = {field.name for field in fields(cls)}
        return cls(**{name: kept[name] for name in names & kept.keys() if kept[name] is not None})

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.step / self.total_steps)) if self.total_steps else 0
