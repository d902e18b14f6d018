"""Ids of the rows nearest to each of many vectors: by one exact scan, or by an index when there are
too many rows to look at.

An index queried for a thousand rows was measured to miss a quarter of them on clustered data, and
at times a whole cluster. So the scan is the rule: it answers all vectors in one pass, several times
quicker than a sorted query for each. Above EXACT_SEARCH_ROWS the HNSW index of `manage.py
index_corpus` is used, with an iterative scan: rows that the filter hides are replaced by the next.
"""

from typing import Any

import numpy as np
from django.db import connection, transaction
from django.db.models import Sum
from pgvector import HalfVector

from distillation.corpus.scope import VISIBLE, Scope
from distillation.models import CorpusExample, SourceDataset
from distillation.pipeline.types import Vectors

EXACT_SEARCH_ROWS = 1_000_000
INDEX = "corpus_nearest"
VECTORS_PER_SCAN = 16  # a million rows are 8 MB for each
TABLE = CorpusExample._meta.db_table
# Packed by the server: a quarter of a million rows as Python objects take longer than the scan.
SCAN = "SELECT string_agg(int8send(id), ''), {distances} FROM {table} WHERE {visible}"
DISTANCE = "string_agg(float8send(embedding <=> %s), '')"
BY_INDEX = f"""
    SELECT id, embedding <=> %s AS distance FROM {TABLE} WHERE {VISIBLE}
    ORDER BY embedding <=> %s LIMIT %s
"""
# Without sorting, the index is the only plan left. Its rows come nearly in order, at less cost than
# strictly; it may visit more rows and take more memory than usual before it gives up.
INDEX_SETTINGS = """
    SET LOCAL enable_sort = off;
    SET LOCAL hnsw.iterative_scan = relaxed_order;
    SET LOCAL hnsw.max_scan_tuples = 200000;
    SET LOCAL hnsw.scan_mem_multiplier = 32;
    SET LOCAL hnsw.ef_search = {breadth}
"""
OVERFETCH = 2  # of which the best are kept: of 1,000 rows it misses a ninth, without a fifth
MIN_BREADTH, MAX_BREADTH = 200, 1_000  # pgvector allows no more
CREATE_INDEX = f"""
    CREATE INDEX {{how}} {INDEX} ON {TABLE} USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 128)
"""
READY = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


def nearest_ids(
    cursor: Any, vectors: Vectors, scope: Scope, *, limit: int, rows: int
) -> list[list[int]]:
    """For each vector up to `limit` ids, best first. `rows`: how many rows the scope has."""
    if rows > EXACT_SEARCH_ROWS and index_is_ready(cursor):
        matches = by_index(cursor, vectors, scope, limit)
        if all(len(ids) == limit for ids in matches):
            return matches
    return by_scan(cursor, vectors, scope, limit)


def index_is_ready(cursor: Any) -> bool:
    """Return False also for one whose building was interrupted."""
    cursor.execute(READY, [INDEX])
    return bool(cursor.fetchone() == (True,))


def index_is_wanted() -> bool:
    """Whether the corpus has outgrown exact search and nobody has built the index."""
    rows = SourceDataset.objects.aggregate(rows=Sum("row_count"))["rows"] or 0
    if rows <= EXACT_SEARCH_ROWS:
        return False
    with connection.cursor() as cursor:
        return not index_is_ready(cursor)


def by_scan(cursor: Any, vectors: Vectors, scope: Scope, limit: int) -> list[list[int]]:
    matches: list[list[int]] = []
    for start in range(0, len(vectors), VECTORS_PER_SCAN):
        some = [HalfVector(vector) for vector in vectors[start : start + VECTORS_PER_SCAN]]
        distances = ", ".join([DISTANCE] * len(some))
        query = SCAN.format(distances=distances, table=TABLE, visible=VISIBLE)
        cursor.execute(query, [*some, *scope.values])
        packed_ids, *packed_distances = cursor.fetchone()
        ids = np.frombuffer(packed_ids or b"", ">i8")
        matches += [_best(ids, np.frombuffer(d or b"", ">f8"), limit) for d in packed_distances]
    return matches


def by_index(cursor: Any, vectors: Vectors, scope: Scope, limit: int) -> list[list[int]]:
    matches = []
    with transaction.atomic():
        breadth = min(MAX_BREADTH, max(MIN_BREADTH, limit))
        for setting in INDEX_SETTINGS.format(breadth=breadth).split(";"):
            cursor.execute(setting)
        for vector in map(HalfVector, vectors):
            cursor.execute(BY_INDEX, [vector, *scope.values, vector, limit * OVERFETCH])
            rows = np.array(cursor.fetchall(), dtype=[("id", "i8"), ("distance", "f8")])
            matches.append(_best(rows["id"], rows["distance"], limit))
    return matches


def _best(ids: Any, distances: Any, limit: int) -> list[int]:
    """Equally distant rows in the order of their ids."""
    if len(ids) > limit:
        # With all that are as near as the last one, so that ids decide between them.
        near = distances <= np.partition(distances, limit - 1)[limit - 1]
        ids, distances = ids[near], distances[near]
    order = np.lexsort((ids, distances))[:limit]
    best: list[int] = ids[order].tolist()
    return best
