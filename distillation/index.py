"""The corpus as the pipeline sees it: public sources and the organisation's own, in pgvector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from django.db import connection
from django.db.models import Count
from pgvector import HalfVector
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg.types import TypeInfo

from accounts.models import Organization
from distillation.models import CorpusExample, SourceDataset
from distillation.nearest import nearest_ids
from distillation.pipeline.types import Candidate, SourceGroup, Vectors

# A source with more tasks than this names rows by them, not kinds of work: it is one group.
MAX_TASKS = 100
LOOKED_AT_PER_SOURCE = 400  # to spread a background sample over the tasks of a source
MIN_PER_TASK = 4

_TABLE = CorpusExample._meta.db_table
_COLUMNS = "id, source_id, task, license, content_hash, messages, tokens, embedding"
_IN_GROUPS = f"""
    SELECT {_COLUMNS} FROM {_TABLE}
    WHERE source_id = ANY(%s::uuid[])
       OR (source_id, task) IN (SELECT * FROM unnest(%s::uuid[], %s::text[]))
    ORDER BY content_hash LIMIT %s
"""
_FIRST_OF_SOURCES = f"""
    SELECT id, source_id, task FROM unnest(%s::uuid[]) AS wanted, LATERAL (
        SELECT id, source_id, task FROM {_TABLE}
        WHERE source_id = wanted ORDER BY content_hash LIMIT %s
    ) AS first
"""
_BY_ID = f"SELECT {_COLUMNS} FROM {_TABLE} WHERE id = ANY(%s::bigint[]) ORDER BY content_hash"


class CorpusCatalog:
    """Implements the pipeline's `Catalog` for the rows that one organisation may use."""

    def __init__(self, org: Organization) -> None:
        sources = SourceDataset.objects.visible_to(org).ready()
        self._names: dict[UUID, str] = dict(sources.values_list("id", "name"))
        self._undivided: set[UUID] = set()
        self._groups = self._read_groups()

    def source_groups(self) -> Sequence[SourceGroup]:
        return self._groups

    def background(self, per_source: int) -> Sequence[Candidate]:
        with binary_cursor() as cursor:
            cursor.execute(_FIRST_OF_SOURCES, [list(self._names), LOOKED_AT_PER_SOURCE])
            chosen = _spread_over_tasks(cursor.fetchall(), per_source)
            cursor.execute(_BY_ID, [chosen])
            return [self._candidate(row) for row in cursor]

    def nearest(
        self, vectors: Vectors, *, limit: int, source_ids: Sequence[str] | None = None
    ) -> list[list[Candidate]]:
        allowed = [i for i in self._names if source_ids is None or str(i) in source_ids]
        rows = sum(group.rows for group in self._groups if UUID(group.source_id) in allowed)
        with binary_cursor() as cursor:
            found = nearest_ids(cursor, vectors, allowed, limit=limit, rows=rows)
            # Most rows are near to several vectors: each is read once.
            cursor.execute(_BY_ID, [list({row_id for ids in found for row_id in ids})])
            by_id = {row[0]: self._candidate(row) for row in cursor}
        return [[by_id[row_id] for row_id in ids if row_id in by_id] for ids in found]

    def rows(self, groups: Sequence[tuple[str, str]], *, limit: int) -> Sequence[Candidate]:
        visible = [(UUID(s), task) for s, task in groups if UUID(s) in self._names]
        whole = [source_id for source_id, _ in visible if source_id in self._undivided]
        divided = [pair for pair in visible if pair[0] not in self._undivided]
        with binary_cursor() as cursor:
            cursor.execute(
                _IN_GROUPS, [whole, [s for s, _ in divided], [task for _, task in divided], limit]
            )
            return [self._candidate(row) for row in cursor]

    def _read_groups(self) -> list[SourceGroup]:
        counted = (
            CorpusExample.objects.filter(source__in=list(self._names))
            .values_list("source_id", "task")
            .annotate(rows=Count("id"))
            .order_by("source_id", "task")
        )
        of_source: dict[UUID, list[tuple[str, int]]] = defaultdict(list)
        for source_id, task, rows in counted:
            of_source[source_id].append((task, rows))
        self._undivided = {s for s, tasks in of_source.items() if len(tasks) > MAX_TASKS}
        return [
            SourceGroup(str(source_id), self._names[source_id], task, rows)
            for source_id, tasks in of_source.items()
            for task, rows in self._merged(source_id, tasks)
        ]

    def _merged(self, source_id: UUID, tasks: list[tuple[str, int]]) -> list[tuple[str, int]]:
        return [("", sum(n for _, n in tasks))] if source_id in self._undivided else tasks

    def _candidate(self, row: tuple[Any, ...]) -> Candidate:
        row_id, source_id, task, license_name, content_hash, messages, tokens, embedding = row
        return Candidate(
            id=str(row_id),
            source_id=str(source_id),
            source=self._names[source_id],
            task="" if source_id in self._undivided else task,
            license=license_name,
            content_hash=content_hash,
            messages=tuple(messages),
            embedding=_unit(embedding),
            tokens=tokens,
        )


def _unit(embedding: HalfVector) -> Vectors:
    """Half precision leaves the length a little off one."""
    vector = embedding.to_numpy().astype(np.float32)
    unit: Vectors = vector / np.linalg.norm(vector)
    return unit


def _spread_over_tasks(rows: list[tuple[int, UUID, str]], per_source: int) -> list[int]:
    """Ids of about `per_source` rows of each source, the same number of each of its tasks."""
    of_source: dict[UUID, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row_id, source_id, task in rows:
        of_source[source_id][task].append(row_id)
    return [
        row_id
        for tasks in of_source.values()
        for ids in tasks.values()
        for row_id in ids[: max(MIN_PER_TASK, -(-per_source // len(tasks)))]
    ]


@contextmanager
def binary_cursor() -> Iterator[Any]:
    """Vectors come and go in binary: as text, decoding them takes longer than finding them.

    Django's own cursors bind on the client and know text alone.
    """
    connection.ensure_connection()
    opened: Any = psycopg.Cursor(connection.connection)
    with opened as cursor:
        cursor.format = psycopg.pq.Format.BINARY
        info = TypeInfo.fetch(connection.connection, "halfvec")
        if info is None:
            raise RuntimeError("The database has no halfvec type: run `manage.py migrate`.")
        register_halfvec_info(cursor, info)
        yield cursor
