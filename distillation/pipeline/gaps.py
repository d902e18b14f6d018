"""Which rows there are and which are missing, label by label or field by field.
Try it: pytest distillation/tests/pipeline/test_gaps.py
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from distillation.pipeline.choose.source_fit import RoutedGroup
from distillation.pipeline.types import Example, IntentSpec, ScoredRow
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.task_kind import json_object

MOST_RELATED = 6
# Of the labels or fields that the user named, this share must have rows: a model that never saw
# the others would answer wrongly without a word.
MIN_COVERED = 0.8
# Sources name what they know; what is none of it the user brings.
REST = {"other", "others", "none", "unknown", "misc", "rest", "out_of_scope", "no_label"}


@dataclass(frozen=True)
class RelatedSource:
    """A source that was not used, for the person who decides to use it all the same."""

    source_id: str
    source: str
    rows: int
    reason: str
    samples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class DataGap:
    """Which rows there are and which are missing, per label or JSON field where these are known."""

    available: int = 0
    needed: int = 0
    by: str = ""  # "label" | "field" | ""
    found: dict[str, int] = field(default_factory=dict)  # rows that answer so, or state the field
    missing: tuple[str, ...] = ()  # labels or fields without any row
    related: tuple[RelatedSource, ...] = ()


def gap_of(
    rows: Sequence[ScoredRow], intent: IntentSpec, routes: Sequence[RoutedGroup], needed: int
) -> DataGap:
    by, names, counts = _counted(rows, intent)
    found = {name: counts[label_key(name)] for name in names}
    return DataGap(
        available=len(rows),
        needed=needed,
        by=by if found else "",
        found=found,
        missing=tuple(name for name, number in found.items() if not number),
        related=related_sources(routes),
    )


def _counted(
    rows: Sequence[ScoredRow], intent: IntentSpec
) -> tuple[str, tuple[str, ...], Counter[str]]:
    if intent.task_kind == "classify":
        return "label", intent.labels, Counter(label_key(row.answer) for row in rows)
    keys = (key for row in rows for key in (json_object(row.answer) or {}))
    return "field", intent.json_keys, Counter(map(label_key, keys))


def lacks_too_much(gap: DataGap) -> bool:
    named = [name for name in gap.found if label_key(name) not in REST]
    have = [name for name in named if gap.found[name]]
    return bool(named) and len(have) < MIN_COVERED * len(named)


def related_sources(routes: Sequence[RoutedGroup]) -> tuple[RelatedSource, ...]:
    """Return the sources that were looked at and not used, those whose answers could be the
    user's before the others."""
    best: dict[str, RoutedGroup] = {}
    rows: Counter[str] = Counter()
    used = {routed.group.source_id for routed in routes if routed.chosen}
    for routed in routes:
        best.setdefault(routed.group.source_id, routed)
        rows[routed.group.source_id] += routed.group.rows
    looked_at = [(r, r.fit) for r in best.values() if r.fit and r.group.source_id not in used]
    nearest = sorted(
        looked_at, key=lambda pair: (not pair[1].right_form, -(pair[1].gain or 0.0), -pair[0].score)
    )
    return tuple(
        RelatedSource(
            r.group.source_id, r.group.source, rows[r.group.source_id], fit.reason, fit.samples
        )
        for r, fit in nearest[:MOST_RELATED]
    )
