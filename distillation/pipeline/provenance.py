"""Where one row comes from, as far as its source does not say it for all of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
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

    @property
    def words(self) -> str:
        """Return who or what labelled it, how surely, checked by what, and at what cost."""
        said = LABELLED_BY.get(self.labelled_by, "")
        parts = (
            f"{said} ({self.who})" if said and self.who else said,
            f"{self.action} by prompt {self.prompt_version}"
            if self.prompt_version
            else self.action,
            f"{self.confidence:.0%} sure" if self.confidence is not None else "",
            f"checked by {', '.join(self.checked_by)}" if self.checked_by else "",
            f"cost {self.cost:.4f}" if self.cost else "",
        )
        return ", ".join(filter(None, parts))

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


@dataclass(frozen=True)
class LabelledRows:
    """Rows of a dataset that one person, classifier or teacher gave their answers."""

    labelled_by: str
    who: str
    rows: int
    cost: float = 0.0

    @property
    def words(self) -> str:
        said = LABELLED_BY.get(self.labelled_by, "its source, which does not say how")
        return f"{said} ({self.who})" if self.who and self.labelled_by != "person" else said


def tally(stated: Iterable[Mapping[str, Any]]) -> list[LabelledRows]:
    """Count rows by who or what labelled them, most first. Names of people are left out: a card may
    be published.
    """
    counted: Counter[tuple[str, str]] = Counter()
    costs: dict[tuple[str, str], float] = defaultdict(float)
    for row in stated:
        by = str(row.get("labelled_by", ""))
        key = (by, "" if by == "person" else str(row.get("who", "")))
        counted[key] += 1
        costs[key] += row.get("cost") or 0.0
    return [LabelledRows(*key, rows, costs[key]) for key, rows in counted.most_common()]
