import pytest
from django.contrib.postgres.search import SearchVector
from django.db.models import TextField
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast

from distillation.corpus.catalog import MAX_TASKS, CorpusCatalog
from distillation.models import CorpusExample, SourceDataset
from distillation.tests.pipeline.rows import WordsEmbedder
from modelstation.testing import make_org

pytestmark = pytest.mark.django_db
EMBED = WordsEmbedder().embed


def add_source(name, texts, *, org=None, task="", state=SourceDataset.State.READY):
    source = SourceDataset.objects.create(org=org, name=name, license="MIT", state=state)
    CorpusExample.objects.bulk_create(
        CorpusExample(
            source=source,
            content_hash=f"{i:064x}",
            task=task if isinstance(task, str) else task[i],
            license="MIT",
            messages=[{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}],
            tokens=3,
            embedding=EMBED([text])[0],
        )
        for i, text in enumerate(texts)
    )
    make_searchable(source)
    return source


def make_searchable(source):
    """As importing does it, by the words of the row's input."""
    text = Cast(KeyTextTransform("content", KeyTransform("0", "messages")), TextField())
    source.examples.update(search=SearchVector(text, config="english"))


def inputs(candidates):
    return [c.messages[0]["content"] for c in candidates]


def test_the_nearest_rows_come_best_first():
    add_source("pets", ["red cat", "red fox", "blue whale"])
    result = CorpusCatalog(make_org()).nearest(EMBED(["red cat", "whale"]), limit=2)
    assert inputs(result[0]) == ["red cat", "red fox"]
    assert inputs(result[1])[0] == "blue whale"
    assert result[0][0].embedding @ EMBED(["red cat"])[0] == pytest.approx(1.0, abs=1e-3)


def test_the_search_can_be_kept_to_some_sources():
    add_source("pets", ["red cat"])
    cars = add_source("cars", ["red car"])
    result = CorpusCatalog(make_org()).nearest(
        EMBED(["red cat"]), limit=5, source_ids=[str(cars.id)]
    )
    assert inputs(result[0]) == ["red car"]


def test_rows_are_found_by_their_rarest_words():
    add_source("pets", ["a cat and a dog", "a dog and a bone", "a dog, a marmoset", "dogs"])
    result = CorpusCatalog(make_org()).lexical(["the marmoset bit a dog", "", "zebra"], limit=2)
    assert inputs(result[0])[0] == "a dog, a marmoset"
    assert [len(rows) for rows in result] == [2, 0, 0]


@pytest.mark.parametrize("text", ["it's 'quoted'", r"C:\dir\file.txt", "a & b | !c", "\u2603"])
def test_any_text_can_be_searched_for(text):
    add_source("pets", ["red cat", text])
    CorpusCatalog(make_org()).lexical([text], limit=2)


def test_the_search_by_words_keeps_to_what_an_organisation_may_see():
    acme, rival = make_org("Acme"), make_org("Rival")
    add_source("public", ["red cat"])
    secret = add_source("secret", ["red fox"], org=rival)
    catalog = CorpusCatalog(acme)
    assert inputs(catalog.lexical(["red"], limit=9)[0]) == ["red cat"]
    assert catalog.lexical(["red"], limit=9, source_ids=[str(secret.id)]) == [[]]


def test_another_organisations_rows_and_unfinished_sources_are_not_there():
    acme, rival = make_org("Acme"), make_org("Rival")
    add_source("public", ["red cat"])
    add_source("own", ["red dog"], org=acme)
    secret = add_source("secret", ["red fox"], org=rival)
    add_source("loading", ["red bat"], state=SourceDataset.State.LOADING)
    catalog = CorpusCatalog(acme)
    assert set(inputs(catalog.nearest(EMBED(["red"]), limit=9)[0])) == {"red cat", "red dog"}
    assert set(inputs(catalog.background(10))) == {"red cat", "red dog"}
    assert catalog.rows([(str(secret.id), "")], limit=9) == []
    assert catalog.nearest(EMBED(["red"]), limit=9, source_ids=[str(secret.id)]) == [[]]
    assert [group.source for group in catalog.source_groups()].count("secret") == 0


def test_groups_are_the_tasks_of_a_source():
    source = add_source("mix", ["a", "b", "c"], task=["x", "y", "x"])
    catalog = CorpusCatalog(make_org())
    assert [(g.source, g.task, g.rows) for g in catalog.source_groups()] == [
        ("mix", "x", 2),
        ("mix", "y", 1),
    ]
    assert inputs(catalog.rows([(str(source.id), "x")], limit=9)) == ["a", "c"]
    assert inputs(catalog.rows([(str(source.id), "x")], limit=1)) == ["a"]


def test_a_source_with_a_task_for_every_row_is_one_group():
    count = MAX_TASKS + 1
    source = add_source(
        "tickets", [f"t {i}" for i in range(count)], task=[f"k{i}" for i in range(count)]
    )
    catalog = CorpusCatalog(make_org())
    (group,) = catalog.source_groups()
    assert (group.task, group.rows) == ("", count)
    rows = catalog.rows([(str(source.id), "")], limit=500)
    assert len(rows) == count
    assert {row.group for row in rows} == {group.key}


def test_the_background_is_spread_over_tasks():
    add_source("mix", [f"t {i}" for i in range(60)], task=["big"] * 50 + ["small"] * 10)
    tasks = [row.task for row in CorpusCatalog(make_org()).background(12)]
    assert (tasks.count("big"), tasks.count("small")) == (6, 6)


def test_an_empty_corpus_has_no_rows():
    catalog = CorpusCatalog(make_org())
    assert (catalog.source_groups(), catalog.background(5)) == ([], [])
