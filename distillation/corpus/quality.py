"""What is doubtful in a source: its flags counted, and a sample of its rows compared.

The sample is the first rows by content hash: the same ones each time, and as good as random.
Their vectors are stored with them, so that no model is needed.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from django.db.models import Count, F, Func

from distillation.models import CorpusExample, SourceDataset
from distillation.pipeline.quality import QualityReport, QualityRow, quality_report
from distillation.pipeline.text import clip, input_text

SAMPLE_ROWS = 2_000
SHOWN = 50  # of each finding
SHOWN_OF_A_GROUP = 10
CLIPPED = 240

FLAG_TEXTS = {
    "contains_markup": "HTML tags, entities or a quoted mail",
    "markup_removed": "markup was removed on import",
    "low_content": "hardly anything asked or answered",
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


def flag_counts(source: SourceDataset) -> list[dict[str, Any]]:
    """[{"flag", "text", "rows"}], most first; over all rows of the source."""
    counted = (
        source.examples.exclude(flags=[])
        .values(flag=Func(F("flags"), function="unnest"))
        .annotate(rows=Count("id"))
        .order_by("-rows", "flag")
    )
    return [{**found, "text": flag_text(found["flag"])} for found in counted]


def source_quality(source: SourceDataset) -> dict[str, Any]:
    """For page and API alike: counts of all findings, and the first fifty of each."""
    rows = sampled(source)
    report = quality_report([quality_row(row) for row in rows])
    shown = [shown_row(row) for row in rows]
    findings = {name: list(show(report, shown)) for name, show in FINDINGS.items()}
    return {
        "rows": source.row_count,
        "sampled": report.rows,
        "flags": flag_counts(source),
        "labels": len(report.labels),
        "counts": {name: len(every) for name, every in findings.items()},
        **{name: every[:SHOWN] for name, every in findings.items()},
    }


def sampled(source: SourceDataset) -> list[CorpusExample]:
    rows = source.examples.order_by("content_hash")
    return list(rows.only("source", "external_id", "messages", "embedding")[:SAMPLE_ROWS])


def quality_row(row: CorpusExample) -> QualityRow:
    vector = np.asarray(row.embedding, dtype=np.float32)
    length = float(np.linalg.norm(vector)) or 1.0  # half precision leaves it a little off one
    return QualityRow(input_text(row.messages), answer_of(row), vector / length)


def answer_of(row: CorpusExample) -> str:
    return str(row.messages[-1]["content"]).strip()


def shown_row(row: CorpusExample) -> dict[str, Any]:
    return {
        "id": row.id,
        "external_id": row.external_id,
        "input": clip(input_text(row.messages), CLIPPED),
        "answer": clip(answer_of(row), CLIPPED),
    }


Shown = Sequence[dict[str, Any]]


def shown_duplicates(report: QualityReport, rows: Shown) -> Iterable[dict[str, Any]]:
    for group in report.duplicates:
        kept, *others = group.rows
        repeats = [rows[at] for at in others[:SHOWN_OF_A_GROUP]]
        yield {"size": len(group.rows), "representative": rows[kept], "repeats": repeats}


def shown_conflicts(report: QualityReport, rows: Shown) -> Iterable[dict[str, Any]]:
    for conflict in report.conflicts:
        answers = [
            {"answer": clip(answer, CLIPPED), "rows": len(at), "example": rows[at[0]]}
            for answer, at in conflict.answers[:SHOWN_OF_A_GROUP]
        ]
        first = conflict.answers[0][1][0]
        yield {"input": rows[first]["input"], "answers": answers}


def shown_problems(report: QualityReport, rows: Shown) -> Iterable[dict[str, Any]]:
    surest_first = sorted(report.label_problems, key=lambda problem: not problem.meant)
    for problem in surest_first:
        yield {"row": rows[problem.row], "reason": problem.reason, "meant": problem.meant}


def shown_disagreements(report: QualityReport, rows: Shown) -> Iterable[dict[str, Any]]:
    for doubt in report.disagreements:
        yield {
            "row": rows[doubt.row],
            "score": round(doubt.score, 3),
            "suggested": clip(doubt.suggested, CLIPPED),
            "neighbour": rows[doubt.neighbour],
        }


FINDINGS: dict[str, Callable[[QualityReport, Shown], Iterable[dict[str, Any]]]] = {
    "duplicates": shown_duplicates,
    "conflicts": shown_conflicts,
    "label_problems": shown_problems,
    "disagreements": shown_disagreements,
}
