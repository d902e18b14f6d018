"""Hard filters: a row that fails one is refused under that filter's name, and counted.

Try it: pytest distillation/tests/test_pipeline_filters.py
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from distillation.pipeline.intent import json_object
from distillation.pipeline.labels import is_label, label_key
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.text import clip, input_key, input_text, shingles
from distillation.pipeline.types import (
    Candidate,
    Example,
    FunnelStep,
    IntentSpec,
    Vectors,
)

LEAK_COSINE = 0.95
LEAK_JACCARD = 0.5
LONG_RUN = 13  # words; a shared run this long is the usual sign of contamination
# A held-out row counts as contained when this share of its long runs is met in the row: rows that
# only share a template (a table's header, a standard greeting) stay below it.
CONTAINED_SHARE = 0.5
MIN_CONTAINED_WORDS = 5  # shorter held-out texts are met by chance
EXAMPLES_PER_STEP = 10
CHARS_PER_TOKEN = 4


def fits_shape(answer: str, intent: IntentSpec) -> bool:
    """Whether an answer has the form the requirement asks for."""
    if not intent.answer_min_chars <= len(answer) <= intent.answer_max_chars:
        return intent.task_kind == "extract_json" and answer == "{}"
    if intent.task_kind == "classify":
        return _fits_labels(answer, intent)
    if intent.task_kind == "extract_json":
        return _fits_keys(answer, intent)
    if intent.answer_pattern:
        return re.match(intent.answer_pattern, answer) is not None
    return json_object(answer) is None


def _fits_labels(answer: str, intent: IntentSpec) -> bool:
    if not is_label(answer):
        return False
    known = {label_key(label) for label in intent.labels}
    return not known or label_key(answer) in known


def _fits_keys(answer: str, intent: IntentSpec) -> bool:
    value = json_object(answer)
    return value is not None and (not intent.json_keys or set(value) <= set(intent.json_keys))


def row_tokens(candidate: Candidate) -> int:
    chars = sum(len(message["content"]) for message in candidate.messages)
    return candidate.tokens or chars // CHARS_PER_TOKEN


class LeakageIndex:
    """Finds rows that repeat a held-out row, whatever answer they carry.

    Four signs: the same input in normal form, a held-out input contained in a longer one (by runs
    of 13 words), 5-word shingles with Jaccard > 0.5, cosine of the inputs ≥ 0.95.
    """

    def __init__(self, held_out: Sequence[Example], vectors: Vectors) -> None:
        inputs = [row.input for row in held_out]
        self._keys = {input_key(text) for text in inputs}
        self._vectors = vectors
        self._shingles = [shingles(text, 5) for text in inputs]
        self._runs = [shingles(text, LONG_RUN) for text in inputs]
        self._rows_of_shingle = _inverted(self._shingles)
        self._rows_of_run = _inverted(self._runs)
        self._short = {run for runs in self._runs for run in runs if len(run) < LONG_RUN}
        self._short_sizes = sorted({len(r) for r in self._short if len(r) >= MIN_CONTAINED_WORDS})

    def leaks(self, candidates: Sequence[Candidate]) -> list[bool]:
        if not self._keys:
            return [False] * len(candidates)
        close = self._close([c.embedding for c in candidates])
        return [
            bool(near) or self._same_text(input_text(candidate.messages))
            for candidate, near in zip(candidates, close, strict=True)
        ]

    def _close(self, embeddings: Sequence[Vectors]) -> list[bool]:
        if not embeddings:
            return []
        cosines = np.stack(embeddings) @ self._vectors.T
        return list(cosines.max(axis=1) >= LEAK_COSINE)

    def _same_text(self, text: str) -> bool:
        return input_key(text) in self._keys or self._contained(text) or self._overlaps(text)

    def _contained(self, text: str) -> bool:
        if any(shingles(text, size) & self._short for size in self._short_sizes):
            return True
        met = _count_rows(shingles(text, LONG_RUN), self._rows_of_run)
        return any(n / len(self._runs[row]) >= CONTAINED_SHARE for row, n in met.items())

    def _overlaps(self, text: str) -> bool:
        own = shingles(text, 5)
        for row, shared in _count_rows(own, self._rows_of_shingle).items():
            union = len(own) + len(self._shingles[row]) - shared
            if shared / union > LEAK_JACCARD:
                return True
        return False


def _inverted(sets: Sequence[set[tuple[str, ...]]]) -> dict[tuple[str, ...], list[int]]:
    rows: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, items in enumerate(sets):
        for item in items:
            rows[item].append(index)
    return rows


def _count_rows(
    items: set[tuple[str, ...]], index: dict[tuple[str, ...], list[int]]
) -> dict[int, int]:
    counts: dict[int, int] = defaultdict(int)
    for item in items:
        for row in index.get(item, ()):
            counts[row] += 1
    return counts


@dataclass(frozen=True, eq=False)
class Kept:
    candidates: tuple[Candidate, ...]
    step: FunnelStep


def refuse(name: str, candidates: Sequence[Candidate], refused: Sequence[bool]) -> Kept:
    """Split by a verdict per row; the first refused rows are kept as examples."""
    kept = tuple(c for c, no in zip(candidates, refused, strict=True) if not no)
    out = [c for c, no in zip(candidates, refused, strict=True) if no]
    examples = tuple(describe(c) for c in out[:EXAMPLES_PER_STEP])
    return Kept(kept, FunnelStep(name, len(out), len(kept), examples))


def describe(candidate: Candidate) -> str:
    question = clip(input_text(candidate.messages), 120)
    return f"{candidate.source}: {question} → {clip(candidate.answer, 60)}"


def hard_filters(
    candidates: Sequence[Candidate],
    intent: IntentSpec,
    *,
    license_policy: LicensePolicy,
    max_row_tokens: int,
    leakage: LeakageIndex,
) -> tuple[tuple[Candidate, ...], tuple[FunnelStep, ...]]:
    """Each filter sees what the one before it left, cheapest first."""
    rows = tuple(candidates)
    steps: list[FunnelStep] = []
    checks: dict[str, Callable[[Sequence[Candidate]], list[bool]]] = {
        "licence": lambda cs: [not license_policy.allows(c.license) for c in cs],
        "empty": lambda cs: [not (input_text(c.messages) and c.answer) for c in cs],
        "length": lambda cs: [row_tokens(c) > max_row_tokens for c in cs],
        "shape": lambda cs: [not fits_shape(c.answer, intent) for c in cs],
        "leakage": leakage.leaks,
    }
    for name, check in checks.items():
        kept = refuse(name, rows, check(rows))
        rows, steps = kept.candidates, [*steps, kept.step]
    return rows, tuple(steps)
