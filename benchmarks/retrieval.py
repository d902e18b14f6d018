"""How long the nearest rows of a whole pool take, and how many of them an index misses.

    python -m benchmarks.retrieval                         # the corpus of the database in use
    python -m benchmarks.retrieval --rows 250000 --index   # clustered, in its own database

The peers are what pgvector's readme shows, a query sorted by distance for each vector, without and
with its HNSW index as it comes, and numpy over vectors that are in memory already. All arms run in
turn, several times; the median counts. Queries are rows of the pool, each a little moved. `nearest`
is what selection calls: the ids, then the rows with texts and vectors. The database of --rows is
dropped at the end unless --keep.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import django
import numpy as np

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelstation.settings")
django.setup()

from django.db import connection  # noqa: E402
from pgvector import HalfVector  # noqa: E402
from psycopg.types.json import Jsonb  # noqa: E402

from accounts.models import Organization  # noqa: E402
from distillation.corpus.catalog import CorpusCatalog, binary_cursor  # noqa: E402
from distillation.corpus.nearest import (  # noqa: E402
    CREATE_INDEX,
    TABLE,
    by_index,
    by_scan,
    index_is_ready,
)
from distillation.corpus.scope import Scope  # noqa: E402
from distillation.imports.loading import know_halfvec  # noqa: E402
from distillation.models import EMBEDDING_DIMENSIONS, SourceDataset  # noqa: E402

SOURCES = 30
ROUTED_SOURCES = 3
ROWS_PER_CLUSTER = 400
MODULUS = (1 << 61) - 1  # ids as machine numbers, so that numpy compares them quickly
NOISE = 1.0  # as far from its centre as centres are from zero: cosine 0.5 within a cluster
COLUMNS = {
    "source_id": "uuid",
    "content_hash": "varchar",
    "external_id": "varchar",
    "task": "varchar",
    "license": "varchar",
    "messages": "jsonb",
    "tokens": "int4",
    "language": "varchar",
    "flags": "varchar[]",
    "embedding": "halfvec",
}
COPY = f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
SORTED = f"""
    SELECT id FROM {TABLE} WHERE source_id = ANY(%s::uuid[]) ORDER BY embedding <=> %s LIMIT %s
"""
POOL = f"SELECT id, source_id, embedding FROM {TABLE} WHERE source_id = ANY(%s::uuid[])"
BUILD_SETTINGS = ("maintenance_work_mem = '3GB'", "max_parallel_maintenance_workers = 2")

Hits = list[list[int]]
Search = Callable[[Any, list[Any], int], Hits]


@dataclass
class Pool:
    """The visible rows in memory, for the queries and the peer that searches there."""

    ids: Any
    sources: Any
    vectors: Any
    queries: Any


@contextmanager
def database_of_its_own(keep: bool) -> Iterator[None]:
    connection.settings_dict["TEST"]["NAME"] = "modelstation_retrieval_benchmark"
    old = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, keepdb=keep, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(old, verbosity=0, keepdb=keep)


def load_clusters(count: int) -> None:
    """`count` rows of thirty sources around centres, each centre within one source."""
    sources = [
        SourceDataset.objects.create(name=f"source-{n}", license="MIT", state="ready")
        for n in range(SOURCES)
    ]
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(SOURCES, count // ROWS_PER_CLUSTER), EMBEDDING_DIMENSIONS))
    messages = [{"role": "user", "content": "x" * 120}, {"role": "assistant", "content": "y" * 40}]
    with connection.cursor() as cursor:
        know_halfvec(cursor)
        with cursor.copy(COPY) as copy:
            copy.set_types(list(COLUMNS.values()))
            for number in range(count):
                place = number % len(centres)
                vector = centres[place] + NOISE * rng.standard_normal(EMBEDDING_DIMENSIONS)
                vector /= np.linalg.norm(vector)
                row = [sources[place % SOURCES].id, f"{number:064x}", "", "", "MIT"]
                copy.write_row([*row, Jsonb(messages), 40, "", [], HalfVector(vector)])
        cursor.execute(f"ANALYZE {TABLE}")


def read_pool(source_ids: list[Any], queries: int) -> Pool:
    with binary_cursor() as cursor:
        cursor.execute(POOL, [source_ids])
        ids, sources, vectors = zip(*cursor, strict=True)
    matrix: Any = np.stack([vector.to_numpy() for vector in vectors]).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    rng = np.random.default_rng(1)
    asked = matrix[rng.choice(len(matrix), queries, replace=False)]
    asked = asked + 0.02 * rng.standard_normal(asked.shape)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    codes = np.array([source_id.int % MODULUS for source_id in sources])
    return Pool(np.array(ids), codes, matrix, asked.astype(np.float32))


def arms(pool: Pool, catalog: CorpusCatalog, indexed: bool) -> dict[str, Search]:
    def one_by_one(cursor: Any, source_ids: list[Any], limit: int) -> Hits:
        hits = []
        for vector in pool.queries:
            cursor.execute(SORTED, [source_ids, HalfVector(vector), limit])
            hits.append([row_id for (row_id,) in cursor])
        return hits

    def without_index(cursor: Any, source_ids: list[Any], limit: int) -> Hits:
        with planner(cursor, "enable_indexscan"):
            return one_by_one(cursor, source_ids, limit)

    def with_index(cursor: Any, source_ids: list[Any], limit: int) -> Hits:
        with planner(cursor, "enable_sort"):
            return one_by_one(cursor, source_ids, limit)

    def in_memory(cursor: Any, source_ids: list[Any], limit: int) -> Hits:
        seen = np.isin(pool.sources, [source_id.int % MODULUS for source_id in source_ids])
        cosines = pool.queries @ (pool.vectors if seen.all() else pool.vectors[seen]).T
        best = np.argpartition(-cosines, min(limit, cosines.shape[1] - 1), axis=1)[:, :limit]
        return [pool.ids[seen][row].tolist() for row in best]

    def scope(source_ids: list[Any]) -> Scope:
        return catalog._scope.within([str(source_id) for source_id in source_ids])

    def whole(cursor: Any, source_ids: list[Any], limit: int) -> Hits:
        catalog._read.clear()  # a catalog reads no row twice, and each search is to pay for its own
        names = [str(source_id) for source_id in source_ids]
        found = catalog.nearest(pool.queries, limit=limit, source_ids=names)
        return [[int(row.id) for row in rows] for rows in found]

    searches: dict[str, Search] = {
        "pgvector, a sorted query each: ids": without_index,
        "numpy, vectors in memory: ids": in_memory,
        "ours, one scan: ids": lambda cursor, ids, k: by_scan(cursor, pool.queries, scope(ids), k),
        "ours, `nearest`: ids, texts and vectors": whole,
    }
    if indexed:
        searches["pgvector, HNSW as it comes: ids"] = with_index
        searches["ours, HNSW with iterative scan: ids"] = lambda cursor, ids, k: by_index(
            cursor, pool.queries, scope(ids), k
        )
    return searches


@contextmanager
def planner(cursor: Any, without: str) -> Iterator[None]:
    cursor.execute(f"SET {without} = off")
    yield
    cursor.execute(f"RESET {without}")


def build_index() -> float:
    started = time.perf_counter()
    with connection.cursor() as cursor:
        for setting in BUILD_SETTINGS:
            cursor.execute(f"SET {setting}")
        cursor.execute(CREATE_INDEX.format(how=""))
    return time.perf_counter() - started


def measure(searches: dict[str, Search], source_ids: list[Any], limit: int, repeats: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    hits: dict[str, Hits] = {}
    with binary_cursor() as cursor:
        for _ in range(repeats):
            for name, search in searches.items():
                started = time.perf_counter()
                hits[name] = search(cursor, source_ids, limit)
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(took) for name, took in seconds.items()}
    base, exact = next(iter(medians.values())), next(iter(hits.values()))
    for name, took in medians.items():
        spread = f"{min(seconds[name]):.2f} to {max(seconds[name]):.2f}"
        share = np.mean([len({*a} & {*b}) / len(b) for a, b in zip(hits[name], exact, strict=True)])
        row = (len(source_ids), limit, name, f"{took:.2f}", spread, f"{base / took:.1f}x")
        print(f"| {' | '.join(map(str, row))} | {share:.3f} |", flush=True)


def run(asked: argparse.Namespace) -> None:
    catalog = CorpusCatalog(Organization(name="nobody"))
    source_ids = list(SourceDataset.objects.filter(org=None).ready().values_list("id", flat=True))
    pool = read_pool(source_ids, asked.queries)
    print(f"{len(pool.ids):,} rows of {len(source_ids)} sources, {asked.queries} queries\n")
    with connection.cursor() as cursor:
        indexed = index_is_ready(cursor)
    searches = arms(pool, catalog, indexed)
    print("| sources | k | search | seconds, median | spread | ratio | recall@k |")
    print("|---:|---:|---|---:|---|---:|---:|")
    for some in (source_ids, source_ids[:ROUTED_SOURCES]):
        for limit in asked.limit:
            measure(searches, some, limit, asked.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, help="clustered vectors instead of the corpus")
    parser.add_argument("--queries", type=int, default=11)
    parser.add_argument("--limit", type=int, nargs="+", default=[200, 1_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--index", action="store_true", help="with --rows: measure HNSW too")
    parser.add_argument("--keep", action="store_true", help="with --rows: for the next run")
    asked = parser.parse_args()
    if not asked.rows:
        run(asked)
        return
    with database_of_its_own(asked.keep):
        if not SourceDataset.objects.exists():
            started = time.perf_counter()
            load_clusters(asked.rows)
            print(f"loaded at {asked.rows / (time.perf_counter() - started):,.0f} rows/s")
        run(asked)
        with connection.cursor() as cursor:
            ready = index_is_ready(cursor)
        if asked.index and not ready:
            print(f"\nindex built in {build_index():.0f} s\n")
            run(asked)


if __name__ == "__main__":
    main()
