import json
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from distillation import tasks
from distillation.imports import uploads
from distillation.models import CorpusExample, ImportRun, SourceDataset
from distillation.tests.corpus.test_seed import FakeEmbedder
from distillation.tests.imports.files import lines, pairs
from modelstation.core.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("uploads_dir")]

IMPORTS = "/api/v1/imports"
QUESTIONS = b"Spalte;Wert\nWo?;hier\n"


@pytest.fixture(autouse=True)
def _embedder(monkeypatch):
    monkeypatch.setattr("modelstation.lm.embedding.load_embedder", FakeEmbedder)


def send(client, content=None, name="tickets.jsonl", key="", **said):
    content = lines(pairs(3)) if content is None else content
    file = SimpleUploadedFile(name, content if isinstance(content, bytes) else lines(content))
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(IMPORTS, {"file": file, **said}, format="multipart", headers=headers)


def sent(client, *args, **said):
    response = send(client, *args, **said)
    assert response.status_code == 201, response.json()
    return response.json()


def confirm(client, run, **said):
    return client.post(f"{IMPORTS}/{run['id']}/confirm", said, format="json")


def finish(run):
    tasks.run_import(str(ImportRun.objects.get(id=run["id"]).job_id))


def error_of(response):
    return response.json()["error"]


def test_a_stranger_gets_404_for_an_import_whatever_he_does(api, stranger):
    run = sent(api)
    for call, part in (
        ("get", ""),
        ("post", "/confirm"),
        ("post", "/cancel"),
        ("get", "/rejected"),
    ):
        response = getattr(stranger, call)(f"{IMPORTS}/{run['id']}{part}")
        assert response.status_code == 404, part
        assert error_of(response)["code"] == "not_found"
    assert stranger.get(IMPORTS).json()["results"] == []
    assert ImportRun.objects.get().state == "uploaded"


def test_without_a_token_no_file_is_received(client, uploads_dir):
    assert send(client).status_code == 401
    assert not uploads_dir.exists()


def test_an_upload_answers_with_its_preview_and_stores_nothing(api):
    run = sent(api, [*pairs(2), {"prompt": "half"}], task="route", license="MIT")
    assert (run["state"], run["source"], run["origin"]) == ("uploaded", "tickets", "tickets.jsonl")
    preview = run["preview"]
    assert (preview["format"], preview["columns"]) == ("JSON lines", ["prompt", "completion"])
    assert preview["mapping"]["user"] == "prompt"
    assert preview["rows"][0]["messages"][0] == {"role": "user", "content": "question 0"}
    assert (preview["rows"][0]["license"], preview["rows"][0]["task"]) == ("MIT", "route")
    [error] = preview["errors"]
    assert (error["line"], error["field"], error["code"]) == (3, "completion", "missing_field")
    assert (preview["read"], preview["accepted"], preview["is_whole"]) == (3, 2, True)
    assert not CorpusExample.objects.exists()
    assert not Job.objects.exists()


def test_a_confirmed_import_tells_how_far_it_is_and_what_came_of_it(api, org):
    run = sent(api, [*pairs(2), {"prompt": "half"}], source="Our rows")
    waiting = confirm(api, run).json()
    assert (waiting["state"], waiting["progress"]["stage"]) == ("running", "waiting")
    assert waiting["preview"] is None
    finish(run)
    done = api.get(f"{IMPORTS}/{run['id']}").json()
    counts = [done[f"rows_{what}"] for what in ("total", "read", "added", "duplicate", "rejected")]
    assert (done["state"], counts, done["progress"]) == ("done", [3, 3, 2, 0, 1], None)
    assert [error["line"] for error in done["errors"]] == [3]
    source = SourceDataset.objects.get()
    assert (source.name, source.org, source.row_count) == ("our-rows", org, 2)


def test_columns_are_given_with_the_upload_or_when_it_is_confirmed(api):
    run = sent(api, QUESTIONS, name="fragen.csv")
    assert run["preview"]["mapping"] is None
    unclear = error_of(confirm(api, run))
    assert (unclear["code"], unclear["param"]) == ("unknown_columns", "user")
    assert "Spalte, Wert" in unclear["hint"]
    wrong = error_of(confirm(api, run, user="Spalte", assistant="Wrt"))
    assert (wrong["code"], wrong["param"]) == ("unknown_columns", "assistant")
    assert error_of(confirm(api, run, user="Spalte"))["param"] == "assistant"
    assert error_of(confirm(api, run, usr="Spalte"))["param"] == "usr"
    assert confirm(api, run, user="Spalte", assistant="Wert").status_code == 200
    finish(run)
    assert CorpusExample.objects.get().messages[1]["content"] == "hier"

    said = {"user": "Spalte", "assistant": "Wert", "source": "again"}
    run = sent(api, QUESTIONS, name="fragen.csv", **said)
    assert run["preview"]["accepted"] == 1
    assert confirm(api, run).status_code == 200


def test_an_import_is_confirmed_once(api):
    run = sent(api)
    assert confirm(api, run).status_code == 200
    again = confirm(api, run)
    assert (again.status_code, error_of(again)["code"]) == (409, "import_confirmed")
    assert Job.objects.count() == 1


def test_a_source_of_ones_own_is_not_added_to_by_accident(api, org):
    SourceDataset.objects.create(org=org, name="tickets", license="MIT", state="ready")
    run = sent(api)
    taken = confirm(api, run)
    assert (taken.status_code, error_of(taken)["code"]) == (409, "source_exists")
    assert confirm(api, run, append=True).status_code == 200


def test_two_imports_into_one_source_wait_for_each_other(api):
    first, second = sent(api), sent(api, pairs(9))
    assert confirm(api, first).status_code == 200
    busy = confirm(api, second, append=True)
    assert (busy.status_code, error_of(busy)["code"]) == (409, "source_busy")
    finish(first)
    assert confirm(api, second, append=True).status_code == 200


def test_a_cancelled_import_is_gone(api):
    waiting, running = sent(api), sent(api)
    confirm(api, running)
    for run in (waiting, running):
        cancelled = api.post(f"{IMPORTS}/{run['id']}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
        again = api.post(f"{IMPORTS}/{run['id']}/cancel")
        assert (again.status_code, error_of(again)["code"]) == (409, "import_ended")
    assert not SourceDataset.objects.exists()


def test_rejected_rows_come_with_line_reason_and_content(api):
    run = sent(api, lines([*pairs(1), {"prompt": "half"}]) + b"{broken\n")
    confirm(api, run)
    finish(run)
    address = f"{IMPORTS}/{run['id']}/rejected"
    rows = [json.loads(line) for line in api.get(address).getvalue().decode().splitlines()]
    assert [(row["line"], row["code"]) for row in rows] == [
        (2, "missing_field"),
        (3, "broken_json"),
    ]
    assert [row["row"] for row in rows] == [{"prompt": "half"}, "{broken"]
    assert api.get(f"{address}?format=csv").getvalue().decode().count("\n") == 3
    assert error_of(api.get(f"{address}?format=xml"))["param"] == "format"


def test_the_same_key_uploads_once(api, uploads_dir):
    first = send(api, key="k")
    again = send(api, key="k")
    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"
    assert send(api, pairs(9), key="k").status_code == 422
    assert ImportRun.objects.count() == 1
    assert len([path for path in uploads_dir.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", b"hello", "unknown_file_type"),
        ("a.parquet", b"text,label\n", "not_parquet"),
        ("a.jsonl", b"\xff\xfe{\x00", "wrong_encoding"),
    ],
)
def test_a_file_of_no_use_is_refused_with_its_code(api, uploads_dir, name, content, code):
    refused = send(api, content, name=name)
    assert (refused.status_code, error_of(refused)["code"]) == (400, code)
    assert error_of(refused)["hint"]
    assert not ImportRun.objects.exists()
    assert [path for path in uploads_dir.rglob("*") if path.is_file()] == []


def test_an_upload_without_a_file_or_with_a_wrong_field_says_which(api):
    assert error_of(api.post(IMPORTS, {"source": "x"}, format="multipart"))["param"] == "file"
    assert error_of(send(api, licence="MIT"))["param"] == "licence"
    assert error_of(send(api, source="---"))["param"] == "source"
    assert api.post(IMPORTS, {"source": "x"}, format="json").status_code == 415


def test_an_upload_that_is_too_large_is_a_413_and_a_full_disk_a_507(api, settings, monkeypatch):
    settings.UPLOAD_MAX_BYTES = 1_000
    large = send(api, b"x" * 5_000)
    assert (large.status_code, error_of(large)["code"]) == (413, "upload_too_large")
    settings.UPLOAD_MAX_BYTES = 1_000_000

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads.ReceivedFile, "write", full, raising=False)
    full_disk = send(api)
    assert (full_disk.status_code, error_of(full_disk)["code"]) == (507, "disk_full")


def test_an_import_that_is_not_there_is_not_found(api):
    assert api.get(f"{IMPORTS}/{uuid.uuid4()}").status_code == 404


def test_a_page_of_imports_takes_a_constant_number_of_queries(api, django_assert_num_queries):
    ImportRun.objects.create(origin="public.jsonl", state="done")
    sent(api)
    api.get(IMPORTS)
    with django_assert_num_queries(3):  # token, membership, imports
        assert len(api.get(IMPORTS).json()["results"]) == 1
    for _ in range(4):
        sent(api)
    with django_assert_num_queries(3):
        results = api.get(IMPORTS).json()["results"]
    assert len(results) == 5
    assert "preview" not in results[0]
