"""Rows that people corrected: what a model should have answered. They pass the ordinary filters,
come before all others, and are for training only.
Try it: pytest distillation/tests/pipeline/test_corrections.py
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from distillation.pipeline.choose import dedup
from distillation.pipeline.choose.candidate_search import SearchResult, score_rows
from distillation.pipeline.choose.filters import EXAMPLES_PER_STEP, describe, hard_filters
from distillation.pipeline.choose.leakage import LeakageIndex
from distillation.pipeline.licenses import OWN_DATA, LicensePolicy
from distillation.pipeline.text import hash_messages
from distillation.pipeline.types import (
    Candidate,
    Correction,
    FunnelStep,
    IntentSpec,
    ScoredRow,
    SelectionConfig,
    TextEmbedder,
    Vectors,
)
from distillation.pipeline.understand.labels import label_key

CORRECTION = "correction"  # the step that put such a row in
# What stands for its source: no slug, so no source can be called so.
SOURCE = "your corrections"
SAID = {
    "empty": "its input or its answer is empty",
    "length": "it is too long",
    "language": "it is in another language than the model's",
    "label": "its answer is none of the model's labels",
    "schema": "its answer does not fit the model's JSON Schema",
    "shape": "its answer has not the form that the model's answers have",
    "exact duplicate": "another correction says the same",
    "contradiction": "another correction answers the same input differently",
    "near duplicate": "another correction says nearly the same",
}


@dataclass(frozen=True, eq=False)
class CorrectionRows:
    """The rows that go in, and why each of the others does not, by its id."""

    rows: tuple[ScoredRow, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    funnel: tuple[FunnelStep, ...] = ()


def correction_rows(
    corrections: Sequence[Correction],
    intent: IntentSpec,
    config: SelectionConfig,
    *,
    result: SearchResult,
    leakage: LeakageIndex,
    embedder: TextEmbedder,
) -> CorrectionRows:
    """Newest first: of two that say the same or contradict one another, the later one counts."""
    if not corrections:
        return CorrectionRows()
    refused: dict[str, str] = {}
    candidates = _candidates(corrections, intent, embedder)
    kept = []
    for row in candidates:
        why = _why_refused(row, intent, config, leakage)
        if why:
            refused[row.id] = why
        else:
            kept.append(row)
    why_in = {correction.id: correction.reason for correction in corrections}
    scored, _ = score_rows(kept, intent, result, {}, None)
    rows = [replace(r, step=CORRECTION, why=why_in[r.candidate.id]) for r in scored]
    rows = _without_repeats(rows, refused)
    out = [row for row in candidates if row.id in refused]
    examples = tuple(describe(row, refused[row.id]) for row in out[:EXAMPLES_PER_STEP])
    step = FunnelStep(SOURCE, len(out), len(rows), examples)
    return CorrectionRows(tuple(rows), tuple(refused.items()), (step,))


def _candidates(
    corrections: Sequence[Correction], intent: IntentSpec, embedder: TextEmbedder
) -> list[Candidate]:
    vectors = embedder.embed([correction.input for correction in corrections])
    spelling = {label_key(label): label for label in intent.labels}
    return [
        _candidate(correction, spelling, vector)
        for correction, vector in zip(corrections, vectors, strict=True)
    ]


def _candidate(correction: Correction, spelling: dict[str, str], vector: Vectors) -> Candidate:
    answer = spelling.get(label_key(correction.answer), correction.answer)
    messages = (
        {"role": "user", "content": correction.input},
        {"role": "assistant", "content": answer},
    )
    return Candidate(
        id=correction.id,
        source_id="",
        source=SOURCE,
        task="",
        license=OWN_DATA,
        content_hash=hash_messages(messages),
        messages=messages,
        embedding=vector,
    )


def _why_refused(
    row: Candidate, intent: IntentSpec, config: SelectionConfig, leakage: LeakageIndex
) -> str:
    """Name the first filter that it does not pass, in words; '' when it passes all of them.

    No licence policy keeps out what the organisation wrote itself. Labels that were learned from
    the sources bind nobody: a person may give another.
    """
    if not intent.labels_closed:
        intent = replace(intent, labels=())
    config = replace(config, license_policy=LicensePolicy())
    _, steps = hard_filters([row], intent, config, leakage=leakage)
    refused = next((step for step in steps if step.refused), None)
    if refused is None:
        return ""
    if refused.name == "leakage":
        [sign] = leakage.signs([row])
        return f"it repeats a held-out row ({sign})"
    if refused.name == "shape" and intent.task_kind == "classify":
        return SAID["label"]
    return SAID.get(refused.name, refused.name)


def _without_repeats(rows: list[ScoredRow], refused: dict[str, str]) -> list[ScoredRow]:
    for name, check in dedup.REPEATS.items():
        verdicts = check(rows)
        refused |= {r.candidate.id: SAID[name] for r, no in zip(rows, verdicts, strict=True) if no}
        rows = [row for row, no in zip(rows, verdicts, strict=True) if not no]
    kept, repeats = dedup.near_duplicates(rows, len(rows))
    refused |= {rows[index].candidate.id: SAID["near duplicate"] for index in repeats}
    return [rows[index] for index in kept]
