"""In which order rows are taken: SELECTORS names the ways, each a pure function of rows and config.

Try it: python -c "from distillation.pipeline.selection import SELECTORS; print(list(SELECTORS))"
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from distillation.pipeline.intent import json_object
from distillation.pipeline.labels import label_key
from distillation.pipeline.types import IntentSpec, ScoredRow, SelectionConfig

Selector = Callable[[Sequence[ScoredRow], IntentSpec, SelectionConfig], list[int]]


def seeded_key(seed: int, content_hash: str) -> str:
    """A fixed shuffle: equal on every machine, different for every seed."""
    return hashlib.sha256(f"{seed}:{content_hash}".encode()).hexdigest()


def random_order(
    rows: Sequence[ScoredRow], intent: IntentSpec, config: SelectionConfig
) -> list[int]:
    def key(index: int) -> str:
        return seeded_key(config.seed, rows[index].candidate.content_hash)

    return sorted(range(len(rows)), key=key)


def round_robin(
    rows: Sequence[ScoredRow], intent: IntentSpec, config: SelectionConfig
) -> list[int]:
    """The best row of each group, then the second best of each, and so on.

    Groups are the labels of a classification, the sets of keys of an extraction, else the queries.
    Sets of keys are met in proportion to the square root of their frequency: all equally often
    would teach a model that the rarest combination is as likely as "nothing found".
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(rows)), key=lambda i: _by_score(rows[i])):
        groups[balance_group(rows[index], intent)].append(index)
    tempered = intent.task_kind == "extract_json"
    turns = [
        (rank / (math.sqrt(len(members)) if tempered else 1.0), _by_score(rows[index]), index)
        for members in groups.values()
        for rank, index in enumerate(members, start=1)
    ]
    return [index for _, _, index in sorted(turns)]


def _by_score(row: ScoredRow) -> tuple[float, str]:
    # Rounded: the last digits of a float product differ between processors, the order must not.
    return (-round(row.score, 3), row.candidate.content_hash)


def balance_group(row: ScoredRow, intent: IntentSpec) -> str:
    if intent.task_kind == "classify":
        return label_key(row.answer)
    if intent.task_kind == "extract_json":
        return ",".join(sorted(json_object(row.answer) or {}))
    return str(row.query)


SELECTORS: dict[str, Selector] = {
    "random": random_order,
    "round_robin": round_robin,
}


def order_rows(
    rows: Sequence[ScoredRow], intent: IntentSpec, config: SelectionConfig
) -> list[ScoredRow]:
    """All rows in the order in which they are taken."""
    order = SELECTORS[config.selector](rows, intent, config)
    return _cap_sources([rows[index] for index in order], config)


def _cap_sources(ordered: Sequence[ScoredRow], config: SelectionConfig) -> list[ScoredRow]:
    """Rows beyond a source's share wait at the end, for when the others have none left."""
    if len({row.candidate.source_id for row in ordered}) < 2:
        return list(ordered)
    cap = math.ceil(config.rows * config.source_share)
    taken: Counter[str] = Counter()
    first: list[ScoredRow] = []
    waiting: list[ScoredRow] = []
    for row in ordered:
        taken[row.candidate.source_id] += 1
        (first if taken[row.candidate.source_id] <= cap else waiting).append(row)
    return first + waiting
