"""Hard filters: a row that fails one is refused under that filter's name, and counted.
Try it: pytest distillation/tests/pipeline/choose/test_filters.py
"""

import re
from collections.abc import Callable, Sequence

from jsonschema import Draft202012Validator

from distillation.pipeline.choose.leakage import LeakageIndex
from distillation.pipeline.text import clip, input_text
from distillation.pipeline.types import Candidate, FunnelStep, IntentSpec, SelectionConfig
from distillation.pipeline.understand.label_map import MappedLabels
from distillation.pipeline.understand.labels import is_label, label_key
from distillation.pipeline.understand.task_kind import json_object

EXAMPLES_PER_STEP = 10
CHARS_PER_TOKEN = 4


class Shape:
    """Whether an answer has the form that the requirement wants; built once, used per row."""

    def __init__(self, intent: IntentSpec) -> None:
        self._intent = intent
        self._labels = {label_key(label) for label in intent.labels}
        self._keys = set(intent.json_keys)
        schema = intent.json_schema
        self._validator = Draft202012Validator(schema) if schema else None
        self._pattern = re.compile(intent.answer_pattern) if intent.answer_pattern else None

    def fits(self, answer: str) -> bool:
        intent = self._intent
        if not intent.answer_min_chars <= len(answer) <= intent.answer_max_chars:
            return intent.task_kind == "extract_json" and answer == "{}"
        if intent.task_kind == "classify":
            return is_label(answer) and (not self._labels or label_key(answer) in self._labels)
        if intent.task_kind == "extract_json":
            return self._fits_json(answer)
        if self._pattern:
            return self._pattern.match(answer) is not None
        return json_object(answer) is None

    def _fits_json(self, answer: str) -> bool:
        value = json_object(answer)
        if value is None:
            return False
        if self._validator:
            return bool(self._validator.is_valid(value))
        return not self._keys or set(value) <= self._keys


def fits_shape(answer: str, intent: IntentSpec) -> bool:
    """For a single answer; `Shape` for many."""
    return Shape(intent).fits(answer)


def row_tokens(candidate: Candidate) -> int:
    chars = sum(len(message["content"]) for message in candidate.messages)
    return candidate.tokens or chars // CHARS_PER_TOKEN


def refuse(
    name: str,
    candidates: Sequence[Candidate],
    refused: Sequence[bool],
    why: Sequence[str] | None = None,
) -> tuple[tuple[Candidate, ...], FunnelStep]:
    """Return what is kept by a verdict per row; the step names the first that are refused."""
    kept = tuple(c for c, no in zip(candidates, refused, strict=True) if not no)
    out = [index for index, no in enumerate(refused) if no]
    examples = tuple(
        describe(candidates[i], why[i] if why else "") for i in out[:EXAMPLES_PER_STEP]
    )
    return kept, FunnelStep(name, len(out), len(kept), examples)


def describe(candidate: Candidate, why: str = "") -> str:
    question = clip(input_text(candidate.messages), 120)
    row = f"{candidate.source}: {question} → {clip(candidate.answer, 60)}"
    return f"{row} ({why})" if why else row


def hard_filters(
    candidates: Sequence[Candidate],
    intent: IntentSpec,
    config: SelectionConfig,
    *,
    leakage: LeakageIndex,
    labels: MappedLabels | None = None,
    shaped: bool = True,
) -> tuple[tuple[Candidate, ...], tuple[FunnelStep, ...]]:
    """Each filter sees what the one before it left, cheapest first.

    `labels` are those of a classification. Not `shaped`: any answer will do.
    """
    rows = tuple(candidates)
    steps: list[FunnelStep] = []
    shape = Shape(intent)
    checks: dict[str, Callable[[Candidate], bool]] = {
        "licence": lambda row: config.license_policy.allows(row.license),
        "empty": lambda row: bool(input_text(row.messages) and row.answer),
        "length": lambda row: row_tokens(row) <= config.max_row_tokens,
        "language": lambda row: speaks(row, intent.language),
    }
    if shaped and labels:
        checks["label"] = lambda row: labels.answer(row) is not None
    elif shaped:
        name = "schema" if intent.json_schema else "shape"
        checks[name] = lambda row: shape.fits(row.answer)
    for name, keeps in checks.items():
        rows, step = refuse(name, rows, [not keeps(row) for row in rows])
        steps.append(step)
    signs = leakage.signs(rows)
    rows, step = refuse("leakage", rows, [bool(sign) for sign in signs], why=signs)
    return rows, (*steps, step)


def speaks(row: Candidate, language: str) -> bool:
    """Rows of which the language is not clear are let in: short texts often are such."""
    return not language or not row.language or row.language == language
