"""Two versions of a model's dataset side by side: rows that only one of them has, and that differ.

Kept rows are matched by the corpus row that they were made from; those without a match, by their
input in normal form. Equal keys are matched one to one, in their order. All in the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from distillation.curation.row_filter import PLAIN
from distillation.models import DatasetRow, DatasetVersion

KINDS = ("only_first", "only_second", "changed", "same")

# Windows and groups only: joins of what no statistics are known of went over all pairs of rows.
_INPUT_KEY = f"coalesce(nullif({PLAIN.format('input')}, ''), input)"
_COMPARED = f"""
    WITH said AS (
        SELECT id, position, split, corpus_hash, version_id = %s AS is_first,
            messages #>> '{{-2,content}}' AS input, messages #>> '{{-1,content}}' AS answer
        FROM {DatasetRow._meta.db_table} WHERE version_id IN (%s, %s) AND decision = 'kept'
    ),
    numbered AS (
        SELECT *, row_number() OVER (PARTITION BY corpus_hash, is_first ORDER BY position) AS nth
        FROM said
    ),
    paired AS (
        SELECT *, corpus_hash <> '' AND count(*) OVER (PARTITION BY corpus_hash, nth) = 2
            AS by_corpus
        FROM numbered
    ),
    keyed AS (
        SELECT id, position, is_first, by_corpus, md5(row(input, answer, split)::text) AS content,
            CASE WHEN by_corpus THEN corpus_hash ELSE {_INPUT_KEY} END AS key,
            CASE WHEN by_corpus THEN nth END AS nth
        FROM paired
    ),
    placed AS (
        SELECT *, coalesce(
            nth, row_number() OVER (PARTITION BY by_corpus, key, is_first ORDER BY position)
        ) AS place
        FROM keyed
    ),
    compared AS (
        SELECT max(id) FILTER (WHERE is_first) AS first_id,
            max(id) FILTER (WHERE NOT is_first) AS second_id,
            coalesce(min(position) FILTER (WHERE is_first), min(position)) AS position,
            CASE
                WHEN bool_and(is_first) THEN 'only_first'
                WHEN NOT bool_or(is_first) THEN 'only_second'
                WHEN min(content) = max(content) THEN 'same'
                ELSE 'changed'
            END AS kind
        FROM placed GROUP BY by_corpus, key, place
    )
"""
_COUNTS = f"{_COMPARED} SELECT kind, count(*) FROM compared GROUP BY kind"
_PAGE = f"""
    {_COMPARED} SELECT first_id, second_id FROM compared WHERE kind = %s
    ORDER BY position, first_id, second_id LIMIT %s OFFSET %s
"""


@dataclass(frozen=True)
class Pair:
    """One row as it stands in each version; None where a version does not have it."""

    first: DatasetRow | None
    second: DatasetRow | None

    @property
    def changes(self) -> list[str]:
        """What differs, by its name."""
        if self.first is None or self.second is None:
            return []
        names = ("input", "answer", "split")
        return [name for name in names if getattr(self.first, name) != getattr(self.second, name)]


@dataclass(frozen=True)
class ComparedVersion:
    id: UUID
    distributions: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Comparison:
    """Two versions, how many pairs there are of each of KINDS, and a page of those of one."""

    first: ComparedVersion
    second: ComparedVersion
    counts: dict[str, int]
    kind: str
    rows: list[Pair]


def counts_of(first: DatasetVersion, second: DatasetVersion) -> dict[str, int]:
    """Pairs by KINDS."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, [first.id, first.id, second.id])
        counts: dict[str, int] = dict(cursor.fetchall())
    return {kind: counts.get(kind, 0) for kind in KINDS}


def pairs_of(
    first: DatasetVersion, second: DatasetVersion, kind: str, places: Sequence[int]
) -> list[Pair]:
    """Those of one kind at these consecutive places, counted from 0."""
    if not places:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, [first.id, first.id, second.id, kind, len(places), places[0]])
        ids: list[tuple[int | None, int | None]] = cursor.fetchall()
    rows: dict[Any, DatasetRow] = DatasetRow.objects.in_bulk(
        [row for pair in ids for row in pair if row is not None]
    )
    return [Pair(rows.get(one), rows.get(two)) for one, two in ids]
