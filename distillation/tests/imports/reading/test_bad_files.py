"""Files that are of no use, that lie, or are half good: refused or read, never a crash."""

import json

import pytest

from distillation.imports import uploads
from distillation.imports.reading.errors import ImportRefused
from distillation.imports.reading.readers import read_rows
from distillation.imports.reading.streams import Limits
from distillation.models import CorpusExample, ImportRun
from distillation.tests.corpus.test_seed import FakeEmbedder
from distillation.tests.imports.files import pairs
from distillation.tests.imports.test_pages import chosen, finish, url
from distillation.tests.test_pages import text_of
from modelstation.core.models import Job
from modelstation.testing import shared_data

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("uploads_dir")]


@pytest.fixture(autouse=True)
def _embedder(monkeypatch):
    monkeypatch.setattr("modelstation.lm.embedding.load_embedder", FakeEmbedder)
    # The heartbeat has a connection of its own, which never sees a job of this transaction.
    monkeypatch.setattr("modelstation.core.jobs.lease.HEARTBEAT_SECONDS", 3600)


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


@pytest.mark.parametrize("number", [b"9" * 5_000, b"-" + b"9" * 5_000, b"[" * 5_000 + b"]" * 5_000])
def test_what_python_cannot_read_is_a_bad_row_or_array(number, tmp_path):
    row = b'{"prompt": "a", "completion": "b", "id": %s}' % number
    good = b'{"prompt": "c", "completion": "d"}'
    lines, array = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_bytes(row + b"\n" + good)
    array.write_bytes(b"[" + row + b"," + good + b"]")

    bad, taken = read_rows(lines, Limits())

    assert (bad.code, bad.line, taken.line) == ("broken_json", 1, 2)
    with pytest.raises(ImportRefused, match="too many digits|too deeply"):
        list(read_rows(array, Limits()))


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
    monkeypatch.setattr("distillation.imports.reading.preview.LOOKED_AT_ROWS", 5)
    run = uploaded(b"[" + b",".join(json.dumps(row).encode() for row in pairs(9)), name="a.json")
    as_bob.post(url("import_confirm", org, run), chosen())
    finish(run)
    assert run.state == "failed"
    page = text_of(as_bob.get(url("import", org, run)))
    assert "not a JSON array that can be read" in page
    assert "Nothing of it was kept" in page


# --- the dirty files ------------------------------------------------------------------------------


def dirty(name):
    return (shared_data() / "dirty" / name).read_bytes()


def test_a_cp1252_file_with_semicolons_and_a_foreign_header_is_a_pleasure(as_bob, org, uploaded):
    run = uploaded(dirty("08_cp1252_semicolon.csv"), name="08_cp1252_semicolon.csv")
    page = text_of(as_bob.get(url("import", org, run)))
    for stated in ("cp1252", "semicolon", "<code>Frage</code>, <code>Antwort</code>"):
        assert stated in page
    columns = {"user": "Frage", "assistant": "Antwort"}
    page = text_of(as_bob.post(url("import_preview", org, run), chosen(**columns)))
    for stated in ("für Österreich", "“Smart quotes”", "– 5 €", "20 usable, 0 not"):
        assert stated in page
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
