"""One row of each kind: exact repeats by normal form, near ones by cosine; and groups of twins.

Try it: pytest distillation/tests/test_pipeline_dedup.py
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distillation.pipeline.text import input_key, normalise
from distillation.pipeline.types import ScoredRow, Vectors

NEAR_COSINE = 0.95
TWIN_ANSWER_WORDS = 6  # two rows with one answer of this length come from one original
BLOCK = 512


def exact_duplicates(rows: Sequence[ScoredRow]) -> list[bool]:
    """True for rows whose input was met before with the same answer; the first one stays."""
    seen: set[tuple[str, str]] = set()
    verdicts = []
    for row in rows:
        key = (input_key(row.input), normalise(row.answer))
        verdicts.append(key in seen)
        seen.add(key)
    return verdicts


def contradictions(rows: Sequence[ScoredRow]) -> list[bool]:
    """True for rows whose input was met before with another answer; the first one stays."""
    seen: dict[str, str] = {}
    return [
        seen.setdefault(input_key(row.input), normalise(row.answer)) != normalise(row.answer)
        for row in rows
    ]


def near_duplicates(rows: Sequence[ScoredRow], limit: int) -> tuple[list[int], list[int]]:
    """Walk the rows in order and keep the first `limit` that repeat no kept one.

    A row repeats another when the cosine of their inputs is at least 0.95 and the answers are the
    same: with another answer it teaches a difference. Returns the kept and the refused indices.
    """
    kept: list[int] = []
    refused: list[int] = []
    vectors = np.empty((min(limit, len(rows)), _dimensions(rows)), dtype=np.float32)
    for index, row in enumerate(rows):
        if len(kept) == limit:
            break
        close = np.flatnonzero(vectors[: len(kept)] @ row.candidate.embedding >= NEAR_COSINE)
        if any(_same_answer(row, rows[kept[position]]) for position in close):
            refused.append(index)
            continue
        vectors[len(kept)] = row.candidate.embedding
        kept.append(index)
    return kept, refused


def _dimensions(rows: Sequence[ScoredRow]) -> int:
    return len(rows[0].candidate.embedding) if rows else 0


def _same_answer(one: ScoredRow, other: ScoredRow) -> bool:
    return normalise(one.answer) == normalise(other.answer)


def twin_groups(rows: Sequence[ScoredRow], *, by_answer: bool) -> list[int]:
    """A group number per row: near inputs, and (where answers are free text) equal long answers."""
    parents = list(range(len(rows)))
    for one, other in _near_pairs([row.candidate.embedding for row in rows]):
        _join(parents, one, other)
    if by_answer:
        first: dict[str, int] = {}
        for index, row in enumerate(rows):
            if len(row.answer.split()) >= TWIN_ANSWER_WORDS:
                _join(parents, first.setdefault(normalise(row.answer), index), index)
    return [_root(parents, index) for index in range(len(rows))]


def _near_pairs(embeddings: Sequence[Vectors]) -> list[tuple[int, int]]:
    if not embeddings:
        return []
    vectors = np.stack(embeddings)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(vectors), BLOCK):
        close = vectors[start : start + BLOCK] @ vectors.T >= NEAR_COSINE
        pairs += [(start + int(i), int(j)) for i, j in np.argwhere(close) if start + i < j]
    return pairs


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def _join(parents: list[int], one: int, other: int) -> None:
    low, high = sorted((_root(parents, one), _root(parents, other)))
    parents[high] = low
