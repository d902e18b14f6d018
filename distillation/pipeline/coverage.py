"""Whether what is measured was ever taught: labels and fields of the held-out rows that occur in no
training row.

    coverage_of(["lost_card"], ["lost_card", "top_up"], "classify").sentence
Try it: pytest distillation/tests/pipeline/test_coverage.py
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from distillation.pipeline.text import clip
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.task_kind import json_object

TRIFLE = 0.02  # of the held-out rows: more than this decides about a verdict
SHOWN = 12
_NOUNS = {"classify": "label", "extract_json": "field"}


@dataclass(frozen=True)
class Coverage:
    """`unseen` has, by name, the held-out rows that carry it. Empty where answers are free text."""

    noun: str = ""  # "label" | "field" | ""
    names: int = 0  # that the held-out rows have
    rows: int = 0  # held out
    rows_unseen: int = 0  # held out, with a name that no training row has
    unseen: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.rows_unseen / self.rows if self.rows else 0.0

    @property
    def is_enough(self) -> bool:
        return self.share <= TRIFLE

    @property
    def sentence(self) -> str:
        """Return what is missing, with names and counts; '' when nothing is."""
        if not self.unseen:
            return ""
        counts = sorted(self.unseen.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join(f"{clip(name, 60)} ({rows:,})" for name, rows in counts[:SHOWN])
        more = f" and {len(counts) - SHOWN:,} more" if len(counts) > SHOWN else ""
        occur = "occurs" if len(counts) == 1 else "occur"
        return (
            f"{len(counts):,} of {self.names:,} {self.noun}s of the held-out rows {occur} in no "
            f"training row: {shown}{more}. {self.rows_unseen:,} of {self.rows:,} held-out rows "
            f"({self.share:.1%}) ask for what was never shown."
        )


def names_are_counted(task_kind: str) -> bool:
    """Whether answers of this kind are labels or have fields."""
    return task_kind in _NOUNS


def coverage_of(train: Iterable[str], held_out: Iterable[str], task_kind: str) -> Coverage:
    """Compare answers; labels are the same whatever their case and separators."""
    if not names_are_counted(task_kind):
        return Coverage()
    seen = {key for answer in train for key in names_in(answer, task_kind)}
    rows = [names_in(answer, task_kind) for answer in held_out]
    carried = Counter(key for names in rows for key in names)
    spelling = {key: name for names in rows for key, name in names.items()}
    return Coverage(
        noun=_NOUNS[task_kind],
        names=len(carried),
        rows=len(rows),
        rows_unseen=sum(any(key not in seen for key in names) for names in rows),
        unseen={spelling[key]: n for key, n in carried.items() if key not in seen},
    )


def names_in(answer: str, task_kind: str) -> dict[str, str]:
    """Return the label, or the fields that are filled, by what they are compared by."""
    if task_kind == "classify":
        return {label_key(answer): answer.strip()}
    if task_kind == "extract_json":
        return {key: key for key, value in (json_object(answer) or {}).items() if value}
    return {}
