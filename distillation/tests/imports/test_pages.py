"""The way of a file through the pages: upload, preview, columns, progress, and what came of it."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from distillation import tasks
from distillation.imports import uploads
from distillation.models import CorpusExample, ImportRun, SourceDataset
from distillation.tests.corpus.test_seed import FakeEmbedder
from distillation.tests.imports.files import lines, pairs
from distillation.tests.test_pages import CountQueries, text_of
from modelstation.core.models import Job, QueueHealth

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("uploads_dir")]

HOSTILE = "<script>alert('row')</script>"
QUESTIONS = "Spalte;Wert\nWo ist das Büro – bitte?;hier\nWas kostet das?;5 €\n".encode("cp1252")


@pytest.fixture(autouse=True)
def _embedder(monkeypatch):
    monkeypatch.setattr("modelstation.lm.embedding.load_embedder", FakeEmbedder)
    # The heartbeat has a connection of its own, which never sees a job of this transaction.
    monkeypatch.setattr("modelstation.core.jobs.lease.HEARTBEAT_SECONDS", 3600)


def url(name, org, run=None, **query):
    kwargs = {"org": org.slug} | ({"import_id": run.id} if run else {})
    return reverse(name, kwargs=kwargs)


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
    for stated in ("JSON lines", "prompt → completion", "question 2", "3 usable, 1 not"):
        assert stated in page
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
    for stated in ("cp1252", "semicolon", "<code>Spalte</code>", "not clear which columns"):
        assert stated in page
    assert 'value="fragen"' in page

    columns = {"user": "Spalte", "assistant": "Wert"}
    page = text_of(as_bob.post(url("import_preview", org, run), chosen(**columns)))
    assert "Wo ist das Büro – bitte?" in page
    assert "5 €" in page
    run.refresh_from_db()
    assert run.state == "uploaded"

    as_bob.post(url("import_confirm", org, run), chosen(**columns))
    finish(run)
    requested = [row.messages[0]["content"] for row in CorpusExample.objects.order_by("id")]
    assert requested == ["Wo ist das Büro – bitte?", "Was kostet das?"]


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
    said = chosen(user="Spalte", assistant="Wert")
    answer = as_bob.post(url("import_preview", org, run), said, headers={"HX-Request": "true"})
    assert text_of(answer).lstrip().startswith('<div class="stack" id="preview"')


def test_without_columns_it_cannot_be_confirmed_and_the_page_says_why(as_bob, org, uploaded):
    run = uploaded(QUESTIONS, name="fragen.csv")
    page = text_of(as_bob.post(url("import_confirm", org, run), chosen()))
    assert "not clear which columns hold question and answer" in page
    page = text_of(as_bob.post(url("import_confirm", org, run), chosen(user="Spalte")))
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
