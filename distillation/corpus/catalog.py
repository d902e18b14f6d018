"""The corpus as the pipeline sees it: public sources and the organisation's own, in pgvector."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from django.db import connection
from django.db.models import Count
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg.types import TypeInfo

from accounts.models import Organization
from distillation.corpus.nearest import nearest_ids
from distillation.corpus.scope import VISIBLE, Scope
from distillation.models import CorpusExample, ImportRun, SourceDataset
from distillation.organization.licensing import license_policy_of
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.text import clip, input_text
from distillation.pipeline.types import Candidate, SourceGroup, Vectors

# A source with more tasks than this names rows by them, not kinds of work: it is one group.
MAX_TASKS = 100
LOOKED_AT_PER_SOURCE = 400  # to spread a background sample over the tasks of a source
MIN_PER_TASK = 4
MAX_WORDS = 12  # of a text that is searched for by its words
SEARCHED_CHARACTERS = 4_000

_TABLE = CorpusExample._meta.db_table
_COLUMNS = "id, source_id, task, license, content_hash, messages, tokens, language, embedding"
_IN_GROUPS = f"""
    SELECT id FROM {_TABLE}
    WHERE {VISIBLE} AND (source_id = ANY(%s::uuid[])
       OR (source_id, task) IN (SELECT * FROM unnest(%s::uuid[], %s::text[])))
    ORDER BY content_hash LIMIT %s
"""
# Okapi BM25 (k1 1.2, b 0.75) with each word counted once per row: rows are short, and a tsvector
# keeps no quick count. Only the rarest words of a text are looked up; the others are in so many
# rows that they cost most and say least.
_LEXICAL = f"""
    WITH words AS (
        SELECT word, array_to_tsvector(ARRAY[word])::text::tsquery AS wanted
        FROM unnest(tsvector_to_array(to_tsvector('english', %s))) AS word
        LEFT JOIN LATERAL (
            SELECT most_common_elems::text::text[] AS common, most_common_elem_freqs AS shares
            FROM pg_stats WHERE tablename = '{_TABLE}' AND attname = 'search'
        ) AS known ON true
        ORDER BY coalesce(shares[array_position(common, word)], 0), word
        LIMIT %s
    ), hits AS (
        SELECT id, content_hash, word, length(search) AS size FROM words
        JOIN {_TABLE} ON search @@ wanted AND {VISIBLE}
    ), rarity AS (
        SELECT word, ln(1 + (
            (SELECT greatest(reltuples, 1) FROM pg_class WHERE relname = '{_TABLE}') / count(*)
        )) AS weight FROM hits GROUP BY word
    )
    SELECT id FROM hits JOIN rarity USING (word), (SELECT avg(size) AS usual FROM hits) AS sizes
    GROUP BY id, content_hash
    ORDER BY sum(weight * 2.2 / (1 + 1.2 * (0.25 + 0.75 * size / usual))) DESC, content_hash
    LIMIT %s
"""
_FIRST_OF_SOURCES = f"""
    SELECT id, source_id, task FROM unnest(%s::uuid[]) AS wanted, LATERAL (
        SELECT id, source_id, task FROM {_TABLE}
        WHERE source_id = wanted AND {VISIBLE} ORDER BY content_hash LIMIT %s
    ) AS first
"""
_BY_ID = f"SELECT {_COLUMNS} FROM {_TABLE} WHERE id = ANY(%s::bigint[])"


class CorpusCatalog:
    """Implements the pipeline's `Catalog` for the rows that one organisation may use.

    Its licence policy is part of every query: a row of another licence is never even looked at.
    """

    def __init__(self, org: Organization, policy: LicensePolicy | None = None) -> None:
        self._policy = policy or license_policy_of(org)
        self.refused_by_license = 0  # visible rows that it keeps out
        sources = SourceDataset.objects.visible_to(org).ready()
        self._names: dict[UUID, str] = dict(sources.values_list("id", "name"))
        unfinished = ImportRun.objects.filter(state=ImportRun.State.RUNNING, org=org)
        self._scope = Scope(
            tuple(self._names), unfinished=tuple(unfinished.values_list("id", flat=True))
        )
        self._undivided: set[UUID] = set()
        self._read: dict[int, Candidate] = {}
        self._groups = self._read_groups()

    def source_groups(self) -> Sequence[SourceGroup]:
        return self._groups

    def background(self, per_source: int) -> Sequence[Candidate]:
        with binary_cursor() as cursor:
            parameters = [list(self._names), *self._scope.values, LOOKED_AT_PER_SOURCE]
            cursor.execute(_FIRST_OF_SOURCES, parameters)
            chosen = _spread_over_tasks(cursor.fetchall(), per_source)
            [matches] = self._candidates(cursor, [chosen])
            return sorted(matches, key=lambda row: row.content_hash)

    def nearest(
        self, vectors: Vectors, *, limit: int, source_ids: Sequence[str] | None = None
    ) -> list[list[Candidate]]:
        scope = self._scope.within(source_ids)
        rows = sum(group.rows for group in self._groups if UUID(group.source_id) in scope.sources)
        with binary_cursor() as cursor:
            matches = nearest_ids(cursor, vectors, scope, limit=limit, rows=rows)
            return self._candidates(cursor, matches)

    def lexical(
        self, texts: Sequence[str], *, limit: int, source_ids: Sequence[str] | None = None
    ) -> list[list[Candidate]]:
        scope = self._scope.within(source_ids)
        with binary_cursor() as cursor:
            matches: list[list[int]] = []
            for text in texts:
                parameters = [text[:SEARCHED_CHARACTERS], MAX_WORDS, *scope.values, limit]
                cursor.execute(_LEXICAL, parameters)
                matches.append([row_id for (row_id,) in cursor])
            return self._candidates(cursor, matches)

    def rows(self, groups: Sequence[tuple[str, str]], *, limit: int) -> Sequence[Candidate]:
        visible = [(UUID(s), task) for s, task in groups if UUID(s) in self._names]
        whole = [source_id for source_id, _ in visible if source_id in self._undivided]
        divided = [pair for pair in visible if pair[0] not in self._undivided]
        divided_ids, tasks = [s for s, _ in divided], [task for _, task in divided]
        with binary_cursor() as cursor:
            cursor.execute(_IN_GROUPS, [*self._scope.values, whole, divided_ids, tasks, limit])
            [matches] = self._candidates(cursor, [[row_id for (row_id,) in cursor]])
            return matches

    def _candidates(self, cursor: Any, matches: Sequence[Sequence[int]]) -> list[list[Candidate]]:
        """Return the rows of each list of ids, each read once; those deleted since are left out."""
        unread = {row_id for ids in matches for row_id in ids} - self._read.keys()
        cursor.execute(_BY_ID, [list(unread)])
        self._read.update((row[0], self._candidate(row)) for row in cursor)
        return [[self._read[row_id] for row_id in ids if row_id in self._read] for ids in matches]

    def license_examples(self, limit: int = 10) -> list[str]:
        """Return a few of the rows that the licence policy keeps out."""
        if not self.refused_by_license:
            return []
        refused = CorpusExample.objects.filter(source__in=list(self._names))
        rows = refused.exclude(license__in=self._scope.licenses)
        ordered = rows.order_by("source_id", "content_hash")
        matches = ordered.values_list("source_id", "license", "messages")[:limit]
        return [
            f"{self._names[s]} ({name or 'not stated'}): {clip(input_text(messages), 120)}"
            for s, name, messages in matches
        ]

    def _read_groups(self) -> list[SourceGroup]:
        counted = (
            CorpusExample.objects.filter(source__in=list(self._names))
            .exclude(import_run__in=self._scope.unfinished)
            .values_list("source_id", "task", "license")
            .annotate(rows=Count("id"))
            .order_by("source_id", "task")
        )
        allowed = self._policy.allowed(name for _, _, name, _ in counted)
        self._scope = replace(self._scope, licenses=tuple(allowed))
        counts: dict[UUID, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for source_id, task, license_name, rows in counted:
            if license_name in allowed:
                counts[source_id][task] += rows
            else:
                self.refused_by_license += rows
        of_source = {source_id: list(tasks.items()) for source_id, tasks in counts.items()}
        self._undivided = {s for s, tasks in of_source.items() if len(tasks) > MAX_TASKS}
        of_source |= {s: [("", sum(counts[s].values()))] for s in self._undivided}
        return [
            SourceGroup(str(source_id), self._names[source_id], task, rows)
            for source_id, tasks in of_source.items()
            for task, rows in tasks
        ]

    def _candidate(self, row: tuple[Any, ...]) -> Candidate:
        row_id, source_id, task, license_name, content_hash, messages, tokens, *rest = row
        language, embedding = rest
        vector = embedding.to_numpy().astype(np.float32)
        return Candidate(
            id=str(row_id),
            source_id=str(source_id),
            source=self._names[source_id],
            task="" if source_id in self._undivided else task,
            license=license_name,
            content_hash=content_hash,
            messages=tuple(messages),
            embedding=vector / np.linalg.norm(vector),  # half precision leaves it a little off one
            tokens=tokens,
            language=language,
        )


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
