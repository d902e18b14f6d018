"""`seed` loads each row once, goes on where it was interrupted, and leaves nothing half loaded."""

import gzip
import json
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from distillation.corpus.sources import hub_sources
from distillation.imports import loading
from distillation.imports.reading.rows import ReadOptions
from distillation.models import CorpusExample, ImportRun, SourceDataset

pytestmark = pytest.mark.django_db


class FakeEmbedder:
    """Unit vectors at no cost; counts what it was asked to embed."""

    def __init__(self):
        self.embedded = 0

    def embed(self, texts, *, on_batch=None):
        self.embedded += len(texts)
        if on_batch:
            on_batch(len(texts))
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        vectors[:, 0] = 1
        return vectors

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]


@pytest.fixture
def embedder(monkeypatch):
    fake = FakeEmbedder()
    monkeypatch.setitem(loading.load.__kwdefaults__, "embedder", lambda: fake)
    return fake


def chat(question, **facts):
    turns = [("user", question), ("assistant", "label")]
    return {"messages": [{"role": r, "content": c} for r, c in turns]} | facts


@pytest.fixture
def tickets(tmp_path):
    path = tmp_path / "tickets.jsonl.gz"
    rows = [chat(f"ticket {n}", source=f"s{n % 2}", license="MIT", task="t") for n in range(25)]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, [*rows, rows[0]])).encode()))
    return path


def seed(*args, **options):
    out = StringIO()
    call_command("seed", *map(str, args), stdout=out, **options)
    return out.getvalue()


def test_rows_get_their_source_licence_task_hash_tokens_and_vector(embedder, tickets):
    said = seed(tickets)
    assert "26 rows read, 25 added, 1 there already, 0 left out" in said
    sources = {s.name: s for s in SourceDataset.objects.all()}
    assert {(s.name, s.row_count, s.state, s.license) for s in sources.values()} == {
        ("s0", 13, "ready", "MIT"),
        ("s1", 12, "ready", "MIT"),
    }
    row = CorpusExample.objects.get(source=sources["s1"], messages__0__content="ticket 7")
    assert (row.task, row.license, row.tokens, len(row.content_hash)) == ("t", "MIT", 3, 64)
    assert row.embedding[:2] == [1.0, 0.0]
    assert len(row.embedding) == 384


def test_a_second_seed_adds_nothing_embeds_nothing_and_leaves_one_entry(embedder, tickets):
    seed(tickets)
    embedded = embedder.embedded
    assert "0 added, 26 there already" in seed(tickets)
    assert embedder.embedded == embedded == 25
    assert CorpusExample.objects.count() == 25
    assert ImportRun.objects.get().rows_added == 25


def test_an_interrupted_seed_goes_on_behind_its_last_chunk(embedder, tickets, monkeypatch):
    monkeypatch.setattr(loading, "CHUNK_ROWS", 10)
    with monkeypatch.context() as patch:
        patch.setattr(embedder, "embed", failing_after(1, embedder.embed))
        with pytest.raises(CommandError, match="run the same command to go on"):
            seed(tickets)
    assert CorpusExample.objects.count() == 10
    assert ImportRun.objects.get().rows_read == 10
    assert not SourceDataset.objects.ready().exists()

    seed(tickets)
    assert embedder.embedded == 25
    run = ImportRun.objects.get()
    assert (run.state, run.rows_read, run.rows_added, run.rows_duplicate) == ("done", 26, 25, 1)
    assert SourceDataset.objects.ready().count() == 2


def failing_after(calls, embed):
    left = [calls]

    def interrupted(*args, **options):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return embed(*args, **options)

    return interrupted


def test_of_a_refused_file_nothing_is_loaded_nor_of_the_files_beside_it(embedder, tickets):
    broken = tickets.with_name("broken.jsonl")
    broken.write_text(json.dumps(chat("fine")) + "\n")
    broken.rename(broken.with_suffix(".parquet"))
    with pytest.raises(CommandError, match="does not begin with PAR1"):
        seed(tickets, broken.with_suffix(".parquet"))
    assert not CorpusExample.objects.exists()
    assert not ImportRun.objects.exists()
    assert not SourceDataset.objects.exists()


def test_rejected_rows_are_told_and_kept_with_the_import(embedder, tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text(f"{json.dumps(chat('good'))}\n{{}}\n")
    said = seed(path)
    assert "1 added, 0 there already, 1 left out" in said
    assert "left out: some.jsonl, line 2, field messages: this field is missing." in said
    [error] = ImportRun.objects.get().errors
    assert (error["line"], error["field"], error["code"]) == (2, "messages", "missing_field")


def test_a_limit_can_be_raised_later(embedder, tickets):
    seed(tickets, limit=5)
    assert CorpusExample.objects.count() == 5
    seed(tickets, limit=12)
    assert CorpusExample.objects.count() == 12
    assert embedder.embedded == 12


def test_a_folder_is_loaded_file_by_file_and_licences_that_differ_are_mixed(embedder, tmp_path):
    for name, license_ in (("a.jsonl", "MIT"), ("b.jsonl", "CC0-1.0"), ("notes.txt", "-")):
        (tmp_path / name).write_text(json.dumps(chat(name, source="both", license=license_)))
    seed(tmp_path)
    source = SourceDataset.objects.get()
    assert (source.row_count, source.license) == (2, "mixed")


def test_columns_source_and_licence_can_be_given_on_the_command_line(embedder, tmp_path):
    path = tmp_path / "fragen.csv"
    path.write_text("Frage;Antwort\nWo?;hier\n")
    columns = "user=Frage,assistant=Antwort"
    seed(path, columns=columns, source="Meine Fragen", license="CC0-1.0")
    row = CorpusExample.objects.select_related("source").get()
    assert [m["content"] for m in row.messages] == ["Wo?", "hier"]
    assert (row.source.name, row.license) == ("meine-fragen", "CC0-1.0")


def test_rows_are_cleaned_and_redacted_where_that_is_asked_for_and_flags_are_told(
    embedder, tmp_path
):
    path = tmp_path / "mails.jsonl"
    path.write_text(json.dumps(chat("<p>Mail me: a.b@example.com</p>", license="MIT")))
    assert "1 rows: personal data: email" in seed(path)
    said = seed(path, source="cleaned", clean_markup=True, redact=True)
    assert "1 rows: markup was removed on import" in said
    row = CorpusExample.objects.get(source__name="cleaned")
    assert row.messages[0]["content"] == "Mail me: [email]"
    assert row.flags == ["markup_removed", "personal_data_removed:email"]
    assert row.language == ""


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ([], "Say what to load"),
        (["nowhere.jsonl"], "no such file or folder"),
    ],
)
def test_a_wrong_name_is_answered_with_the_names_there_are(embedder, what, says):
    with pytest.raises(CommandError, match=says) as error:
        seed(*what)
    assert "starter" in str(error.value)


def test_rows_of_an_organisation_are_its_own(embedder, tickets, org):
    loading.load(loading.file_origin(tickets, ReadOptions()), org=org)
    seed(tickets)
    assert SourceDataset.objects.filter(org=org).count() == 2
    assert SourceDataset.objects.filter(org=None).count() == 2
    assert CorpusExample.objects.count() == 50


def test_the_starter_corpus_is_loaded_by_its_name(embedder):
    seed("starter")
    assert CorpusExample.objects.count() == embedder.embedded > 4_000
    assert SourceDataset.objects.ready().filter(license="CC0-1.0").count() >= 12


def test_hub_sources_are_pinned_and_mapped():
    sources = hub_sources().values()
    assert len(sources) >= 10
    for source in sources:
        assert len(source.revision) == 40
        assert set(source.revision) <= set("0123456789abcdef")
        assert source.license
        assert source.hub_id.count("/") == 1
        assert source.columns or source.name in ("ultrachat-200k", "personas-instruction-following")
    assert len({source.revision for source in sources}) == len(sources)


def test_a_hub_dataset_goes_through_its_mapping(embedder, monkeypatch):
    passage = {"question": "is ice cold", "passage": "Ice is frozen water.", "answer": True}
    requested = []

    def load_dataset(*args, **options):
        requested.append((args, options))
        return [passage]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    seed("boolq")
    row = CorpusExample.objects.select_related("source").get()
    assert [m["content"] for m in row.messages] == ["is ice cold\n\nIce is frozen water.", "yes"]
    assert (row.source.name, row.task, row.license) == ("boolq", "yes_no_question", "CC-BY-SA-3.0")
    assert row.source.revision == requested[0][1]["revision"] == hub_sources()["boolq"].revision


def test_without_a_network_a_hub_dataset_says_what_to_do(embedder, monkeypatch):
    def unreachable(*args, **options):
        raise ConnectionError("no route")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(CommandError, match="Check the network, or download a file"):
        seed("gsm8k")
