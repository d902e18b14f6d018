"""The way of a file through the pages: upload, preview, columns, progress, and what came of it."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from distillation import tasks, uploads
from distillation.models import CorpusExample, ImportRun, SourceDataset
from distillation.tests.test_imports import FakeEmbedder, lines, pairs
from distillation.tests.test_pages import CountQueries, text_of
from modelstation.core.models import Job, QueueHealth
from modelstation.testing import shared_data

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("uploads_dir")]

HOSTILE = "<script>alert('row')</script>"
QUESTIONS = "Frage;Antwort\nWo ist das Büro – bitte?;hier\nWas kostet das?;5 €\n".encode("cp1252")


@pytest.fixture(autouse=True)
def _embedder(monkeypatch):
    monkeypatch.setattr("modelstation.lm.embedding.load_embedder", FakeEmbedder)
    # The heartbeat has a connection of its own, which never sees a job of this transaction.
    monkeypatch.setattr("modelstation.core.lease.HEARTBEAT_SECONDS", 3600)


def url(name, org, run=None, **query):
    kwargs = {"org": org.slug} | ({"import_id": run.id} if run else {})
    return reverse(name, kwargs=kwargs)


@pytest.fixture
def upload(as_bob, org):
    def upload(content=None, name="tickets.jsonl", client=as_bob, **said):
        content = lines(pairs(3)) if content is None else content
        content = content if isinstance(content, bytes) else lines(content)
        file = SimpleUploadedFile(name, content)
        return client.post(url("source_new", org), {"file": file, "license": "own data"} | said)

    return upload


@pytest.fixture
def uploaded(upload):
    def uploaded(*args, **said):
        response = upload(*args, **said)
        assert response.status_code == 302, response.content.decode()
        return ImportRun.objects.first()

    return uploaded


def chosen(**said):
    return {"source": "tickets", "license": "own data"} | said


def finish(run):
    run.refresh_from_db()
    tasks.run_import(str(run.job_id))
    run.refresh_from_db()
    return run


# --- strangers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["import", "import_live", "import_rejected"])
def test_a_stranger_gets_404_for_an_import(as_charlie, charlie, org, uploaded, name):
    run = uploaded()
    assert as_charlie.get(url(name, org, run)).status_code == 404
    assert as_charlie.get(url(name, charlie.organizations.get(), run)).status_code == 404


@pytest.mark.parametrize("name", ["import_preview", "import_confirm", "import_cancel"])
def test_a_stranger_can_do_nothing_to_an_import(as_charlie, charlie, org, uploaded, name):
    run = uploaded()
    assert as_charlie.post(url(name, org, run), chosen()).status_code == 404
    own = charlie.organizations.get()
    assert as_charlie.post(url(name, own, run), chosen()).status_code == 404
    run.refresh_from_db()
    assert run.state == "uploaded"


def test_a_strangers_file_is_not_even_received(upload, as_charlie, uploads_dir):
    assert upload(client=as_charlie).status_code == 404
    assert upload(client=Client()).url.startswith("/accounts/login/")
    assert not ImportRun.objects.exists()
    assert not uploads_dir.exists()


def test_a_strangers_pages_name_no_source_row_or_import_of_acme(
    as_charlie, charlie, org, as_bob, uploaded
):
    run = uploaded([{"prompt": "our secret", "completion": "x"}])
    as_bob.post(url("import_confirm", org, run), chosen(source="acme-own"))
    finish(run)
    own = charlie.organizations.get()
    page = text_of(as_charlie.get(url("sources", own)))
    assert "acme-own" not in page
    assert "tickets.jsonl" not in page
    source = SourceDataset.objects.get()
    address = reverse("source", kwargs={"org": own.slug, "source_id": source.id})
    assert as_charlie.get(address).status_code == 404


def test_an_upload_needs_the_pages_own_token(bob, org):
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob)
    page = client.get(url("source_new", org)).content.decode()
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]

    def send(**fields):
        file = SimpleUploadedFile("t.jsonl", lines(pairs(1)))
        return client.post(url("source_new", org), {"file": file, "license": "MIT", **fields})

    assert send().status_code == 403
    assert send(csrfmiddlewaretoken=token).status_code == 302
    assert ImportRun.objects.count() == 1


# --- the way through ------------------------------------------------------------------------------


def test_a_file_of_a_known_shape_is_previewed_confirmed_and_loaded(as_bob, org, uploaded):
    run = uploaded([*pairs(3), {"prompt": "only half"}])
    page = text_of(as_bob.get(url("import", org, run)))
    for told in ("JSON lines", "prompt → completion", "question 2", "3 usable, 1 not"):
        assert told in page
    assert "This field is missing" in page
    assert not Job.objects.exists()

    response = as_bob.post(url("import_confirm", org, run), chosen(source="Our tickets"))
    assert response.url == url("import", org, run)
    assert "Waiting for a worker" in text_of(as_bob.get(url("import", org, run)))
    finish(run)
    page = text_of(as_bob.get(url("import", org, run)))
    assert "See the rows of our-tickets" in page
    assert "hx-get" not in page.split('id="import"')[1]
    assert CorpusExample.objects.filter(source__org=org).count() == 3


def test_columns_with_names_of_their_own_are_chosen_by_hand(as_bob, org, uploaded):
    run = uploaded(QUESTIONS, name="fragen.csv")
    page = text_of(as_bob.get(url("import", org, run)))
    for told in ("cp1252", "semicolon", "<code>Frage</code>", "not clear which columns"):
        assert told in page
    assert 'value="fragen"' in page

    columns = {"user": "Frage", "assistant": "Antwort"}
    page = text_of(as_bob.post(url("import_preview", org, run), chosen(**columns)))
    assert "Wo ist das Büro – bitte?" in page
    assert "5 €" in page
    run.refresh_from_db()
    assert run.state == "uploaded"

    as_bob.post(url("import_confirm", org, run), chosen(**columns))
    finish(run)
    asked = [row.messages[0]["content"] for row in CorpusExample.objects.order_by("id")]
    assert asked == ["Wo ist das Büro – bitte?", "Was kostet das?"]


def test_columns_that_were_found_can_be_changed(as_bob, org, uploaded):
    row = {"prompt": "short", "long_prompt": "a longer question", "completion": "yes", "kind": "k"}
    run = uploaded([row])
    said = chosen(user="long_prompt", assistant="completion", task_column="kind")
    as_bob.post(url("import_confirm", org, run), said)
    finish(run)
    example = CorpusExample.objects.get()
    assert (example.messages[0]["content"], example.task) == ("a longer question", "k")


def test_a_change_of_columns_brings_the_preview_alone(as_bob, org, uploaded):
    run = uploaded(QUESTIONS, name="fragen.csv")
    said = chosen(user="Frage", assistant="Antwort")
    answer = as_bob.post(url("import_preview", org, run), said, headers={"HX-Request": "true"})
    assert text_of(answer).lstrip().startswith('<div class="stack" id="preview"')


def test_without_columns_it_cannot_be_confirmed_and_the_page_says_why(as_bob, org, uploaded):
    run = uploaded(QUESTIONS, name="fragen.csv")
    page = text_of(as_bob.post(url("import_confirm", org, run), chosen()))
    assert "not clear which columns hold question and answer" in page
    page = text_of(as_bob.post(url("import_confirm", org, run), chosen(user="Frage")))
    assert "This field is required" in page
    assert not Job.objects.exists()


def test_to_add_to_ones_own_source_is_a_choice(as_bob, org, uploaded):
    SourceDataset.objects.create(org=org, name="tickets", license="MIT", state="ready")
    run = uploaded()
    assert "You have a source “tickets” already" in text_of(as_bob.get(url("import", org, run)))
    page = text_of(as_bob.post(url("import_confirm", org, run), chosen()))
    assert "You have a source “tickets” already" in page
    assert as_bob.post(url("import_confirm", org, run), chosen(append="on")).status_code == 302
    finish(run)
    assert SourceDataset.objects.get().row_count == 3


def test_the_name_of_a_public_source_or_a_strangers_is_free(as_bob, org, uploaded, charlie):
    SourceDataset.objects.create(name="tickets", license="MIT", state="ready")
    elsewhere = charlie.organizations.get()
    SourceDataset.objects.create(org=elsewhere, name="tickets", license="MIT", state="ready")
    run = uploaded()
    as_bob.post(url("import_confirm", org, run), chosen())
    finish(run)
    counts = SourceDataset.objects.values_list("org__name", "row_count")
    assert set(counts) == {(None, 0), ("Elsewhere", 0), ("Acme", 3)}


def test_the_same_file_again_is_told_before_and_after(as_bob, org, uploaded):
    first = uploaded()
    as_bob.post(url("import_confirm", org, first), chosen())
    finish(first)
    again = uploaded()
    assert "This very file was" in text_of(as_bob.get(url("import", org, again)))
    as_bob.post(url("import_confirm", org, again), chosen(append="on"))
    finish(again)
    assert "Nothing was added" in text_of(as_bob.get(url("import", org, again)))


def test_while_it_loads_the_page_shows_how_far_it_is(as_bob, org, uploaded):
    run = uploaded()
    as_bob.post(url("import_confirm", org, run), chosen())
    progress = {"step": 500, "total_steps": 2000, "rows_per_second": 120.4, "eta_seconds": 12}
    Job.objects.update(state="running", lease_token=run.id, stage="load", progress=progress)
    for name in ("import", "import_live"):
        page = text_of(as_bob.get(url(name, org, run)))
        assert "Row 500 of 2,000, 120 rows/s, about 12 s left" in page
        assert 'hx-trigger="every 2s"' in page
    for page in (reverse("dashboard", args=[org.slug]), url("sources", org)):
        assert url("import", org, run) in text_of(as_bob.get(page))
    as_bob.post(url("import_cancel", org, run))
    assert "Stopping…" in text_of(as_bob.get(url("import_live", org, run)))


def test_a_job_without_a_worker_says_so(as_bob, org, uploaded):
    run = uploaded()
    as_bob.post(url("import_confirm", org, run), chosen())
    QueueHealth.objects.all().delete()
    assert "No worker is running" in text_of(as_bob.get(url("import", org, run)))


def test_an_upload_can_be_discarded(as_bob, org, uploaded, django_capture_on_commit_callbacks):
    run = uploaded()
    with django_capture_on_commit_callbacks(execute=True):
        as_bob.post(url("import_cancel", org, run))
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert not uploads.folder_of(run).exists()
    assert "Nothing of it was kept" in text_of(as_bob.get(url("import", org, run)))
    assert as_bob.post(url("import_confirm", org, run), chosen()).status_code == 302
    assert not Job.objects.exists()


def test_all_rejected_rows_can_be_had_not_only_the_first_hundred(as_bob, org, uploaded):
    rows = [*pairs(2), *({"prompt": "=1+1", "n": n} for n in range(150))]
    run = uploaded(rows)
    as_bob.post(url("import_confirm", org, run), chosen())
    finish(run)
    assert (run.rows_rejected, len(run.errors)) == (150, 100)
    assert "the first 100 of 150" in text_of(as_bob.get(url("import", org, run)))
    body = as_bob.get(url("import_rejected", org, run)).getvalue().decode()
    kept = [json.loads(line) for line in body.splitlines()]
    assert [row["row"]["n"] for row in kept] == list(range(150))
    assert kept[-1]["line"] == 152
    response = as_bob.get(url("import_rejected", org, run), {"format": "csv"})
    table = response.getvalue().decode().splitlines()
    assert table[0] == "line,field,code,message,hint,row"
    assert len(table) == 151
    assert 'filename="tickets-rejected.csv"' in response["Content-Disposition"]
    assert as_bob.get(url("import_rejected", org, run), {"format": "x"}).status_code == 404


def test_a_rejected_row_is_no_formula_of_a_spreadsheet(as_bob, org, uploaded):
    run = uploaded(lines(pairs(1)) + b"=cmd|' /C calc'!A0\n")
    as_bob.post(url("import_confirm", org, run), chosen())
    finish(run)
    table = as_bob.get(url("import_rejected", org, run), {"format": "csv"}).getvalue().decode()
    assert "'=cmd" in table


def test_text_of_rows_columns_and_file_names_is_escaped(as_bob, org, uploaded):
    run = uploaded([{"prompt": HOSTILE, "completion": HOSTILE, HOSTILE: 1}, {HOSTILE: 2}])
    ImportRun.objects.update(origin=HOSTILE)
    assert HOSTILE not in text_of(as_bob.get(url("import", org, run)))
    as_bob.post(url("import_confirm", org, run), chosen())
    finish(run)
    assert HOSTILE not in text_of(as_bob.get(url("import", org, run)))
    assert HOSTILE not in text_of(as_bob.get(url("sources", org)))


# --- files of no use ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b"", "empty"),
        ("a.txt", b"hello", "this kind of file is not known"),
        ("a", b"hello", "this kind of file is not known"),
        ("a.jsonl", b"\xff\xfe{\x00", "UTF-16"),
        ("a.parquet", b"text,label\nx,y\n", "does not begin with PAR1"),
        ("a.parquet", b"PAR1 and nothing", "cut off or damaged"),
        ("a.json.gz", b"\x1f\x8b\x08\x00cut", "cut off or damaged"),
    ],
)
def test_a_file_of_no_use_is_refused_at_once(upload, uploads_dir, org, name, content, says):
    assert says in text_of(upload(content, name=name))
    assert not ImportRun.objects.exists()
    assert [path for path in uploads_dir.rglob("*") if path.is_file()] == []


def test_a_file_that_is_too_large_is_refused_with_the_limit(upload, settings, uploads_dir):
    settings.UPLOAD_MAX_BYTES = 2_000_000
    response = upload(b"x" * 3_000_000)
    assert response.status_code == 400
    assert "at most 2.0 MB are taken at once" in response.content.decode()
    assert not uploads_dir.exists()


def test_a_full_disk_is_told_and_nothing_is_kept(upload, monkeypatch, uploads_dir):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads.ReceivedFile, "write", full, raising=False)
    response = upload()
    assert response.status_code == 400
    assert "No disk space is left" in response.content.decode()
    assert [path for path in uploads_dir.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd.jsonl",
        "..\\..\\boot.jsonl",
        "a/../../b.jsonl",
        "x y\t.jsonl",
        "x\n.jsonl",
    ],
)
def test_a_name_that_climbs_stays_in_its_folder(uploaded, uploads_dir, org, name):
    run = uploaded(name=name)
    path = uploads.path_of(run)
    assert path.resolve().is_relative_to(uploads_dir / str(org.id) / str(run.id))
    assert path.suffix == ".jsonl"
    assert path.is_file()


def test_nothing_usable_is_said_before_and_by_the_job(as_bob, org, uploaded):
    run = uploaded([{"prompt": "", "completion": "x"}])
    page = text_of(as_bob.post(url("import_confirm", org, run), chosen()))
    assert "No row of this file can be used" in page
    assert not Job.objects.exists()


def test_a_file_that_turns_bad_behind_its_beginning_fails_with_the_reason(
    as_bob, org, uploaded, monkeypatch
):
    monkeypatch.setattr("distillation.importing.preview.LOOKED_AT_ROWS", 5)
    run = uploaded(b"[" + b",".join(json.dumps(row).encode() for row in pairs(9)), name="a.json")
    as_bob.post(url("import_confirm", org, run), chosen())
    finish(run)
    assert run.state == "failed"
    page = text_of(as_bob.get(url("import", org, run)))
    assert "not a JSON array that can be read" in page
    assert "Nothing of it was kept" in page


@pytest.mark.parametrize("name", ["sources", "import", "uploaded"])
def test_queries_do_not_grow(as_bob, org, uploaded, name, django_assert_num_queries):
    run = uploaded()
    if name == "import":
        as_bob.post(url("import_confirm", org, run), chosen())
    page = url("sources", org) if name == "sources" else url("import", org, run)
    with CountQueries() as queries:
        as_bob.get(page)
    few = len(queries)
    for number in range(4):
        uploaded(name=f"{number}.jsonl")
    errors = [
        {"line": n, "field": "", "code": "c", "message": "m", "hint": "h"} for n in range(100)
    ]
    ImportRun.objects.update(errors=errors)
    with django_assert_num_queries(few):
        as_bob.get(page)


# --- the dirty files ------------------------------------------------------------------------------


def dirty(name):
    return (shared_data() / "dirty" / name).read_bytes()


def test_a_cp1252_file_with_semicolons_and_a_foreign_header_is_a_pleasure(as_bob, org, uploaded):
    run = uploaded(dirty("08_cp1252_semicolon.csv"), name="08_cp1252_semicolon.csv")
    page = text_of(as_bob.get(url("import", org, run)))
    for told in ("cp1252", "semicolon", "<code>Frage</code>, <code>Antwort</code>"):
        assert told in page
    columns = {"user": "Frage", "assistant": "Antwort"}
    page = text_of(as_bob.post(url("import_preview", org, run), chosen(**columns)))
    for told in ("für Österreich", "“Smart quotes”", "– 5 €", "20 usable, 0 not"):
        assert told in page
    as_bob.post(url("import_confirm", org, run), chosen(**columns))
    assert finish(run).rows_added == 20


def test_a_csv_that_is_named_parquet_is_refused_at_once(upload):
    answer = upload(dirty("17_not_really_a.parquet"), name="17_not_really_a.parquet")
    assert "does not begin with PAR1" in text_of(answer)


def test_a_small_file_that_expands_to_a_hundred_megabytes_is_stopped(as_bob, org, uploaded):
    run = uploaded(dirty("20b_expands_to_100mb.jsonl.gz"), name="20b_expands_to_100mb.jsonl.gz")
    assert "gzip" in text_of(as_bob.get(url("import", org, run)))
    as_bob.post(url("import_confirm", org, run), chosen())
    finish(run)
    assert (run.state, CorpusExample.objects.count()) == ("failed", 0)
    assert "expand to more than" in run.error_text


@pytest.mark.parametrize(
    ("name", "read", "added", "rejected"),
    [
        ("10_bom_crlf_no_final_newline.jsonl", 10, 10, 0),
        ("13_alpaca_array.json", 23, 21, 2),
        ("15_prompt_completion.parquet", 33, 30, 3),
        ("07_huge_rows.jsonl.gz", 14, 10, 4),
    ],
)
def test_dirty_files_end_as_they_should(as_bob, org, uploaded, name, read, added, rejected):
    run = uploaded(dirty(name), name=name)
    as_bob.post(url("import_confirm", org, run), chosen())
    finish(run)
    assert (run.rows_read, run.rows_added, run.rows_rejected) == (read, added, rejected)
    kept = uploads.rejected_path(run).read_text().splitlines()
    assert len(kept) == rejected


def test_every_dirty_file_is_previewed_without_a_crash(as_bob, org, upload):
    for path in sorted((shared_data() / "dirty").glob("[0-9]*")):
        response = upload(path.read_bytes(), name=path.name)
        if response.status_code == 302:
            assert as_bob.get(response.url).status_code == 200
