"""Hard filters: a row that fails one is refused under that filter's name, and counted.

Try it: pytest distillation/tests/test_pipeline_filters.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from distillation.pipeline.intent import json_object
from distillation.pipeline.labels import is_label, label_key
from distillation.pipeline.leakage import LeakageIndex
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.text import clip, input_text
from distillation.pipeline.types import (
    Candidate,
    FunnelStep,
    IntentSpec,
)

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
