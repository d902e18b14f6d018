"""What is doubtful in a source: its flags counted, and a sample of its rows compared.

The sample is the first rows by content hash: the same ones each time, and as good as random.
Their vectors are stored with them, so that no model is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import Count, F, Func

from distillation.models import CorpusExample, SourceDataset
from distillation.pipeline.quality import (
    Conflict,
    Disagreement,
    DuplicateGroup,
    QualityRow,
    quality_report,
)
from distillation.pipeline.text import clip, input_text

SAMPLE_ROWS = 2_000
SHOWN = 50  # of each finding
SHOWN_OF_A_GROUP = 10
CLIPPED = 240
FINDINGS = ("duplicates", "conflicts", "label_problems", "disagreements")

FLAG_TEXTS = {
    "contains_markup": "HTML tags, entities or a quoted mail",
    "markup_removed": "markup was removed on import",
    "low_content": "hardly any question or answer",
    "mojibake": "garbled letters, such as Ã© for é",
    "control_characters_removed": "control characters were removed on import",
    "broken_characters_replaced": "half characters were replaced on import",
    "unanswered_last_turn_dropped": "a last question without an answer was dropped on import",
    "repeated_id": "its id was given to another row of the file before",
    "license_unknown": "no licence stated: kept out of datasets unless the organisation allows it",
    "non_commercial_license": "the licence forbids commercial use",
}
WITH_KIND = {
    "personal_data": "personal data",
    "personal_data_removed": "personal data was removed on import",
}
KINDS = {
    "card": "payment card",
    "iban": "IBAN",
    "key": "secret key",
    "ssn": "social security number",
}


def flag_text(flag: str) -> str:
    name, _, kind = flag.partition(":")
    if kind and name in WITH_KIND:
        return f"{WITH_KIND[name]}: {KINDS.get(kind, kind.replace('_', ' '))}"
    return FLAG_TEXTS.get(flag, flag.replace("_", " "))


@dataclass(frozen=True)
class FlagCount:
    flag: str
    text: str
    rows: int


@dataclass(frozen=True)
class ShownRow:
    id: int
    external_id: str
    input: str
    answer: str


@dataclass(frozen=True)
class ShownDuplicates:
    size: int
    representative: ShownRow
    repeats: list[ShownRow]


@dataclass(frozen=True)
class ShownAnswer:
    answer: str
    rows: int
    example: ShownRow


@dataclass(frozen=True)
class ShownConflict:
    input: str
    answers: list[ShownAnswer]


@dataclass(frozen=True)
class ShownLabelProblem:
    row: ShownRow
    reason: str
    meant: str


@dataclass(frozen=True)
class ShownDisagreement:
    row: ShownRow
    score: float
    suggested: str
    neighbour: ShownRow


@dataclass(frozen=True)
class SourceQuality:
    """For page and API alike: counts of all findings, and the first fifty of each."""

    rows: int
    sampled: int
    flags: list[FlagCount]  # most first; over all rows of the source
    labels: int
    counts: dict[str, int]
    duplicates: list[ShownDuplicates]
    conflicts: list[ShownConflict]
    label_problems: list[ShownLabelProblem]
    disagreements: list[ShownDisagreement]


def flag_counts(source: SourceDataset) -> list[FlagCount]:
    counted = (
        source.examples.exclude(flags=[])
        .annotate(flag=Func(F("flags"), function="unnest"))
        .values_list("flag")
        .annotate(rows=Count("id"))
        .order_by("-rows", "flag")
    )
    return [FlagCount(flag, flag_text(flag), rows) for flag, rows in counted]


def source_quality(source: SourceDataset) -> SourceQuality:
    rows = sampled(source)
    report = quality_report([quality_row(row) for row in rows])
    shown = [shown_row(row) for row in rows]
    surest_first = sorted(report.label_problems, key=lambda problem: not problem.meant)
    return SourceQuality(
        rows=source.row_count,
        sampled=report.rows,
        flags=flag_counts(source),
        labels=len(report.labels),
        counts={name: len(getattr(report, name)) for name in FINDINGS},
        duplicates=[shown_duplicates(group, shown) for group in report.duplicates[:SHOWN]],
        conflicts=[shown_conflict(conflict, shown) for conflict in report.conflicts[:SHOWN]],
        label_problems=[
            ShownLabelProblem(shown[problem.row], problem.reason, problem.meant)
            for problem in surest_first[:SHOWN]
        ],
        disagreements=[shown_disagreement(doubt, shown) for doubt in report.disagreements[:SHOWN]],
    )


def sampled(source: SourceDataset) -> list[CorpusExample]:
    rows = source.examples.order_by("content_hash")
    return list(rows.only("source", "external_id", "messages", "embedding")[:SAMPLE_ROWS])


def quality_row(row: CorpusExample) -> QualityRow:
    vector = np.asarray(row.embedding, dtype=np.float32)
    length = float(np.linalg.norm(vector)) or 1.0  # half precision leaves it a little off one
    return QualityRow(input_text(row.messages), answer_of(row), vector / length)


def answer_of(row: CorpusExample) -> str:
    return str(row.messages[-1]["content"]).strip()


def shown_row(row: CorpusExample) -> ShownRow:
    text, answer = clip(input_text(row.messages), CLIPPED), clip(answer_of(row), CLIPPED)
    return ShownRow(row.id, row.external_id, text, answer)


def shown_duplicates(group: DuplicateGroup, rows: Sequence[ShownRow]) -> ShownDuplicates:
    kept, *others = group.rows
    repeats = [rows[at] for at in others[:SHOWN_OF_A_GROUP]]
    return ShownDuplicates(len(group.rows), rows[kept], repeats)


def shown_conflict(conflict: Conflict, rows: Sequence[ShownRow]) -> ShownConflict:
    answers = [
        ShownAnswer(clip(answer, CLIPPED), len(at), rows[at[0]])
        for answer, at in conflict.answers[:SHOWN_OF_A_GROUP]
    ]
    return ShownConflict(answers[0].example.input, answers)


def shown_disagreement(doubt: Disagreement, rows: Sequence[ShownRow]) -> ShownDisagreement:
    score, suggested = round(doubt.score, 3), clip(doubt.suggested, CLIPPED)
    return ShownDisagreement(rows[doubt.row], score, suggested, rows[doubt.neighbour])
