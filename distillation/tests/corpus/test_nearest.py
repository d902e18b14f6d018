"""Search is exact below the limit; above it the index finds nearly all, and nothing of others."""

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection

from distillation.corpus import nearest
from distillation.corpus.catalog import CorpusCatalog
from distillation.corpus.nearest import BY_INDEX, CREATE_INDEX, INDEX
from distillation.corpus.scope import Scope
from distillation.models import CorpusExample, SourceDataset
from modelstation.testing import make_org

CLUSTERS = 40
MESSAGES = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def clustered(rows, seed=0):
    """Return unit vectors around forty centres, as texts of the same kind lie."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(CLUSTERS, 384))
    vectors = centres[np.arange(rows) % CLUSTERS] + rng.normal(size=(rows, 384))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def add_rows(name, vectors, org=None):
    source = SourceDataset.objects.create(org=org, name=name, license="MIT", state="ready")
    rows = CorpusExample.objects.bulk_create(
        CorpusExample(
            source=source,
            content_hash=f"{n:064x}",
            license="MIT",
            messages=MESSAGES,
            tokens=1,
            embedding=vector,
        )
        for n, vector in enumerate(vectors)
    )
    return source, [row.id for row in rows]


def exact_ids(ids, vectors, queries, limit):
    """By numpy, from what the database keeps of the vectors."""
    kept = vectors.astype(np.float16).astype(np.float64)
    kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    distances = 1 - queries.astype(np.float16).astype(np.float64) @ kept.T
    return [[ids[i] for i in np.argsort(row, kind="stable")[:limit]] for row in distances]


def ids_of(result):
    return [[int(row.id) for row in rows] for rows in result]


def recall(result, exact):
    pairs = zip(result, exact, strict=True)
    return float(np.mean([len(set(some) & set(true)) / len(true) for some, true in pairs]))


def build_index():
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else checks of the new rows are pending
        cursor.execute(CREATE_INDEX.format(how=""))


@pytest.fixture
def low_limit(monkeypatch):
    monkeypatch.setattr(nearest, "EXACT_SEARCH_ROWS", 100)


@pytest.mark.django_db
def test_below_the_limit_the_search_is_exact_whatever_index_there_is():
    vectors, queries = clustered(1_500), clustered(21, seed=1)
    source, ids = add_rows("seen", vectors)
    add_rows("other", clustered(300, seed=2))
    build_index()
    result = CorpusCatalog(make_org()).nearest(queries, limit=90, source_ids=[str(source.id)])
    assert ids_of(result) == exact_ids(ids, vectors, queries, 90)


@pytest.mark.django_db
def test_equally_near_rows_come_in_the_order_of_their_ids():
    _, ids = add_rows("twins", np.repeat(clustered(3), 4, axis=0))
    result = CorpusCatalog(make_org()).nearest(clustered(2), limit=3)
    assert ids_of(result) == [ids[:3], ids[4:7]]


@pytest.mark.django_db
def test_above_the_limit_the_index_finds_nearly_all_through_a_narrow_filter(low_limit):
    vectors, queries = clustered(4_000), clustered(20, seed=1)
    _, hidden = add_rows("hidden", vectors[:3_200])
    source, ids = add_rows("seen", vectors[3_200:])
    build_index()
    catalog = CorpusCatalog(make_org())
    whole = exact_ids(hidden + ids, vectors, queries, 150)
    assert recall(ids_of(catalog.nearest(queries, limit=150)), whole) >= 0.95
    result = catalog.nearest(queries, limit=150, source_ids=[str(source.id)])
    assert [len(rows) for rows in result] == [150] * 20
    assert recall(ids_of(result), exact_ids(ids, vectors[3_200:], queries, 150)) >= 0.95


@pytest.mark.django_db
def test_the_index_shows_no_organisation_the_rows_of_another(low_limit):
    acme, rival = make_org("Acme"), make_org("Rival")
    vectors = clustered(600)
    _, own = add_rows("own", vectors[:200], acme)
    _, public = add_rows("public", vectors[200:400])
    add_rows("secret", vectors[400:], rival)
    build_index()
    (result,) = ids_of(CorpusCatalog(acme).nearest(vectors[400:401], limit=399))
    assert set(result) <= {*own, *public}
    assert len(result) == 399


@pytest.mark.django_db
def test_fewer_rows_than_asked_for_are_all_found_with_the_index(low_limit):
    vectors = clustered(120)
    _, ids = add_rows("few", vectors)
    build_index()
    (result,) = ids_of(CorpusCatalog(make_org()).nearest(vectors[:1], limit=500))
    assert sorted(result) == ids


@pytest.mark.django_db
def test_the_settings_leave_the_planner_no_other_way_than_the_index():
    source, _ = add_rows("seen", clustered(300))
    build_index()
    with connection.cursor() as cursor:
        for setting in nearest.INDEX_SETTINGS.format(breadth=200).split(";"):
            cursor.execute(setting)
        vector = str(clustered(1)[0].tolist())
        query = BY_INDEX.replace("<=> %s", "<=> %s::halfvec")
        scope = Scope((source.id,), ("MIT",))
        cursor.execute(f"EXPLAIN {query}", [vector, *scope.values, vector, 9])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert f"Index Scan using {INDEX}" in plan


@pytest.mark.django_db
def test_a_corpus_that_outgrew_exact_search_wants_the_index_until_it_is_there(low_limit):
    source, _ = add_rows("seen", clustered(120))
    assert not nearest.index_is_wanted()
    SourceDataset.objects.filter(id=source.id).update(row_count=120)
    assert nearest.index_is_wanted()
    build_index()
    assert not nearest.index_is_wanted()


@pytest.mark.django_db(transaction=True)
def test_index_corpus_builds_once_and_replaces_what_was_interrupted(capsys):
    _, ids = add_rows("seen", clustered(200))
    call_command("index_corpus", memory="64MB", workers=0)
    assert "is ready" in capsys.readouterr().out
    with connection.cursor() as cursor:
        assert nearest.index_is_ready(cursor)
        cursor.execute(
            f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass"
        )
        assert not nearest.index_is_ready(cursor)
    call_command("index_corpus", memory="64MB", workers=0)
    assert "is ready" in capsys.readouterr().out
    call_command("index_corpus")
    assert "is there" in capsys.readouterr().out
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {INDEX}")
