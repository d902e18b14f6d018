"""Where one row comes from, as far as its source does not say it for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

LABELLED_BY = {
    "person": "a person",
    "classifier": "a classifier trained on what people labelled",
    "model": "a model of this installation",
    "teacher": "a teacher",
    "log": "the application it was logged from, not checked",
}


@dataclass(frozen=True)
class Provenance:
    """Empty fields: it came so with its source."""

    labelled_by: str = ""  # of LABELLED_BY
    who: str = ""  # the person's name, or the model's
    confidence: float | None = None  # 0 to 1, that the answer is right
    action: str = ""  # of a teacher: write, label, rewrite
    prompt_version: str = ""
    seed: int | None = None
    cost: float | None = None  # in the currency of the teacher's prices
    checked_by: tuple[str, ...] = ()  # what else agreed with the answer
    external: str = ""  # id of the row, trace or request where it was before
    at: str = ""  # ISO 8601

    def __post_init__(self) -> None:
        if self.labelled_by and self.labelled_by not in LABELLED_BY:
            raise ValueError(f"labelled_by must be one of {', '.join(LABELLED_BY)}")

    def to_json(self) -> dict[str, Any]:
        """Return the fields that say something."""
        stated = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in stated.items()
            if value not in ("", None, ())
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Provenance":
        known = {f.name: stored[f.name] for f in fields(cls) if f.name in stored}
        return cls(**known | {"checked_by": tuple(known.get("checked_by", ()))})
