"""Two versions of a model's dataset side by side: rows that only one of them has, and that differ.

Kept rows are matched by the corpus row that they were made from; those without a match, by their
input in normal form. Equal keys are matched one to one, in their order. All in the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from distillation.models import DatasetRow, DatasetVersion
from distillation.row_filter import PLAIN

KINDS = ("only_first", "only_second", "changed", "same")

_KEPT = f"""
    SELECT id, position, split, corpus_hash,
        messages #>> '{{-2,content}}' AS input, messages #>> '{{-1,content}}' AS answer
    FROM {DatasetRow._meta.db_table} WHERE version_id = %s AND decision = 'kept'
"""


def _numbered(table: str, key: str, where: str) -> str:
    """Rows with their key, and a number among those of the same key."""
    return f"""
        SELECT id, key, row_number() OVER (PARTITION BY key ORDER BY position) AS nth
        FROM (SELECT id, position, {key} AS key FROM {table} WHERE {where}) keyed
    """


def _matched(key: str, where: Mapping[str, str]) -> str:
    first, second = (_numbered(table, key, where[table]) for table in ("first", "second"))
    return f"""
        SELECT one.id AS first_id, two.id AS second_id
        FROM ({first}) one JOIN ({second}) two USING (key, nth)
    """


_OF_CORPUS = dict.fromkeys(("first", "second"), "corpus_hash <> ''")
_LEFT_OVER = {
    table: f"NOT EXISTS (SELECT 1 FROM by_corpus WHERE {table}_id = {table}.id)"
    for table in ("first", "second")
}
_INPUT_KEY = f"coalesce(nullif({PLAIN.format('input')}, ''), input)"
_COMPARED = f"""
    WITH first AS MATERIALIZED ({_KEPT}), second AS MATERIALIZED ({_KEPT}),
    by_corpus AS MATERIALIZED ({_matched("corpus_hash", _OF_CORPUS)}),
    matched AS MATERIALIZED (
        SELECT * FROM by_corpus UNION ALL {_matched(_INPUT_KEY, _LEFT_OVER)}
    ),
    compared AS (
        SELECT first.id AS first_id, second.id AS second_id, first.position,
            CASE WHEN (first.input, first.answer, first.split)
                = (second.input, second.answer, second.split)
            THEN 'same' ELSE 'changed' END AS kind
        FROM matched JOIN first ON first.id = first_id JOIN second ON second.id = second_id
        UNION ALL
        SELECT id, NULL, position, 'only_first' FROM first
        WHERE NOT EXISTS (SELECT 1 FROM matched WHERE first_id = first.id)
        UNION ALL
        SELECT NULL, id, position, 'only_second' FROM second
        WHERE NOT EXISTS (SELECT 1 FROM matched WHERE second_id = second.id)
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


def counts_of(first: DatasetVersion, second: DatasetVersion) -> dict[str, int]:
    """Pairs by KINDS."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, [first.id, second.id])
        counts: dict[str, int] = dict(cursor.fetchall())
    return {kind: counts.get(kind, 0) for kind in KINDS}


def pairs_of(
    first: DatasetVersion, second: DatasetVersion, kind: str, places: Sequence[int]
) -> list[Pair]:
    """Those of one kind at these consecutive places, counted from 0."""
    if not places:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, [first.id, second.id, kind, len(places), places[0]])
        ids: list[tuple[int | None, int | None]] = cursor.fetchall()
    rows: dict[Any, DatasetRow] = DatasetRow.objects.in_bulk(
        [row for pair in ids for row in pair if row is not None]
    )
    return [Pair(rows.get(one), rows.get(two)) for one, two in ids]
