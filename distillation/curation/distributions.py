"""How the rows of a version spread, in a fixed number of queries: what pages filter and draw by."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, Func, IntegerField, Q, TextField, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, Length

from distillation.models import DatasetRow, DatasetVersion
from distillation.pipeline.understand.task_kind import json_object

ROWS_AT_ONCE = 5000
FACETS = ("split", "source_name", "license", "task", "decision", "labelled_by")
LENGTH_EDGES = (1, 11, 26, 51, 101, 201, 401, 801, 1601, 3201)  # characters
Counts = dict[str, int]


@dataclass(frozen=True)
class Facets:
    """Rows by all that they can be filtered by at once."""

    groups: list[tuple[Any, ...]]  # values of FACETS, whether edited, rows

    def by(self, name: str, *, kept: bool = False) -> Counts:
        """Most first; the refused ones too, unless only the kept are requested."""
        counts: Counter[str] = Counter()
        for *values, _, rows in self.groups:
            if not kept or values[FACETS.index("decision")] == DatasetRow.Decision.KEPT:
                counts[values[FACETS.index(name)]] += rows
        return dict(counts.most_common())

    @property
    def edited(self) -> int:
        return sum(rows for *_, edited, rows in self.groups if edited)

    @property
    def total(self) -> int:
        return sum(rows for *_, rows in self.groups)


def facets_of(version: DatasetVersion) -> Facets:
    said = Coalesce(
        KeyTextTransform("labelled_by", "provenance"), Value(""), output_field=TextField()
    )
    rows = version.rows.order_by().annotate(
        edited=Q(original_messages__isnull=False), labelled_by=said
    )
    return Facets(list(rows.values_list(*FACETS, "edited").annotate(rows=Count("id"))))


def answers_of(version: DatasetVersion) -> Counts:
    """Labels of a classification, sets of keys of JSON answers; of other tasks nothing repeats."""
    kind = version.run.intent_facts.task_kind
    kept = version.rows.kept().spoken().order_by()
    if kind == "classify":
        counted = kept.values_list("said_answer").annotate(rows=Count("id"))
        return dict(counted.order_by("-rows", "said_answer"))
    if kind == "extract_json":
        answers: Iterator[str] = kept.values_list("said_answer", flat=True).iterator(ROWS_AT_ONCE)
        return dict(Counter(_keys(answer) for answer in answers).most_common())
    return {}


def lengths_of(version: DatasetVersion) -> dict[str, Counts]:
    """Characters of inputs and of answers, in bands, shortest first."""
    kept = version.rows.kept().spoken().order_by()
    bands = kept.annotate(inputs=_band("said_input"), answers=_band("said_answer"))
    groups = list(bands.values_list("inputs", "answers").annotate(rows=Count("id")))
    return {name: _in_bands(groups, place) for place, name in enumerate(("input", "answer"))}


def _band(name: str) -> Func:
    edges = Value(list(LENGTH_EDGES), output_field=ArrayField(IntegerField()))
    return Func(Length(name), edges, function="width_bucket", output_field=IntegerField())


def _in_bands(groups: list[tuple[int, int, int]], place: int) -> Counts:
    counts: Counter[int] = Counter()
    for group in groups:
        counts[group[place]] += group[2]
    return {
        _band_name(band): counts[band]
        for band in range(min(counts, default=1), max(counts, default=0) + 1)
    }


def _band_name(band: int) -> str:
    if band == 0:
        return "empty"
    if band == len(LENGTH_EDGES):
        return f"{LENGTH_EDGES[-1]:,} or more"
    return f"{LENGTH_EDGES[band - 1]:,}–{LENGTH_EDGES[band] - 1:,}"


def _keys(answer: str) -> str:
    value = json_object(answer)
    return "no JSON object" if value is None else ", ".join(sorted(value)) or "no keys"


def distributions_of(version: DatasetVersion) -> dict[str, Counts]:
    """Of the kept rows, all that two versions are compared by."""
    facets, lengths = facets_of(version), lengths_of(version)
    return {
        "splits": facets.by("split", kept=True),
        "sources": facets.by("source_name", kept=True),
        "licenses": facets.by("license", kept=True),
        "answers": answers_of(version),
        "input_lengths": lengths["input"],
        "answer_lengths": lengths["answer"],
    }
