"""One row of each kind: exact repeats by normal form, near ones by likeness; and groups of twins.
Try it: pytest distillation/tests/pipeline/choose/test_dedup.py
"""

from collections.abc import Sequence

import numpy as np

from distillation.pipeline.choose.near_duplicates import join, near_duplicate_groups, root
from distillation.pipeline.text import input_key, normalise
from distillation.pipeline.types import ScoredRow

TWIN_ANSWER_WORDS = 6  # two rows with one answer of this length come from one original
MIN_WINDOW = 64


def exact_duplicates(rows: Sequence[ScoredRow]) -> list[bool]:
    """Mark rows whose input came before with the same answer; the first one stays."""
    seen: set[tuple[str, str]] = set()
    verdicts = []
    for row in rows:
        key = (input_key(row.input), normalise(row.answer))
        verdicts.append(key in seen)
        seen.add(key)
    return verdicts


def contradictions(rows: Sequence[ScoredRow]) -> list[bool]:
    """Mark rows whose input came before with another answer; the first one stays."""
    seen: dict[str, str] = {}
    return [
        seen.setdefault(input_key(row.input), normalise(row.answer)) != normalise(row.answer)
        for row in rows
    ]


# In this order: what one has refused, the next does not see.
REPEATS = {"exact duplicate": exact_duplicates, "contradiction": contradictions}


def near_duplicates(rows: Sequence[ScoredRow], limit: int) -> tuple[list[int], list[int]]:
    """Walk the rows in order and keep the first `limit` that repeat no kept one.

    A row repeats another when their inputs are near duplicates and the answers are the same: with
    another answer it teaches a difference. Returns the kept and the refused indices.
    """
    window = limit + limit // 4 + MIN_WINDOW
    while True:
        kept, refused = _walk(rows[:window], limit)
        if len(kept) == limit or window >= len(rows):
            return kept, refused
        window *= 2


def _walk(rows: Sequence[ScoredRow], limit: int) -> tuple[list[int], list[int]]:
    kept: list[int] = []
    refused: list[int] = []
    seen: set[tuple[int, str]] = set()
    for index, group in enumerate(_groups(rows)):
        if len(kept) == limit:
            break
        key = (group, normalise(rows[index].answer))
        (refused if key in seen else kept).append(index)
        seen.add(key)
    return kept, refused


def _groups(rows: Sequence[ScoredRow]) -> list[int]:
    if not rows:
        return []
    vectors = np.stack([row.candidate.embedding for row in rows])
    return near_duplicate_groups([row.input for row in rows], vectors)


def twin_groups(rows: Sequence[ScoredRow], *, by_answer: bool) -> list[int]:
    """Return a group number per row: near inputs, and, if `by_answer`, equal long answers."""
    parents = dict(enumerate(_groups(rows)))
    if by_answer:
        first: dict[str, int] = {}
        for index, row in enumerate(rows):
            if len(row.answer.split()) >= TWIN_ANSWER_WORDS:
                join(parents, first.setdefault(normalise(row.answer), index), index)
    return [root(parents, index) for index in parents]
