"""An organisation's own rows: uploaded, looked at, confirmed, loaded by a job; or taken back."""

import json
import os
from datetime import timedelta

import numpy as np
import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import AuditEntry
from distillation import tasks
from distillation.corpus.catalog import CorpusCatalog
from distillation.imports import loading, uploads
from distillation.imports import services as imports
from distillation.imports.reading.errors import RowError
from distillation.imports.services import ImportDraft
from distillation.models import CorpusExample, ImportRun, SourceDataset
from distillation.tests.corpus.test_seed import FakeEmbedder
from distillation.tests.imports.files import lines, pairs
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.jobs.tasks import reap
from modelstation.core.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("uploads_dir")]


@pytest.fixture(autouse=True)
def embedder(monkeypatch):
    fake = FakeEmbedder()
    monkeypatch.setattr("modelstation.lm.embedding.load_embedder", lambda: fake)
    return fake


@pytest.fixture(autouse=True)
def _commits_at_once(monkeypatch):
    """Commit at once: a test's transaction never does, and the heartbeat's connection sees none of
    it.
    """
    monkeypatch.setattr(transaction, "on_commit", lambda deed: deed())
    monkeypatch.setattr("modelstation.core.jobs.lease.HEARTBEAT_SECONDS", 3600)


def received(name, content):
    file = uploads.ReceivedFile(name, None, None)
    file.write(content)
    file.sha256.update(content)
    file.size = len(content)
    return file


@pytest.fixture
def upload(org, alice):
    def upload(content, name="tickets.jsonl", org=org, actor=alice, source="tickets", **said):
        content = content if isinstance(content, bytes) else lines(content)
        draft = ImportDraft(source=source, **said)
        return imports.upload(actor=actor, org=org, file=received(name, content), draft=draft)

    return upload


@pytest.fixture
def confirm(alice):
    def confirm(run, **said):
        draft = ImportDraft(**(run.options | said))
        return imports.confirm_import(actor=alice, run=run, draft=draft)

    return confirm


@pytest.fixture
def load(upload, confirm):
    """Upload, confirm and load it by one worker."""

    def load(*args, **said):
        run = confirm(upload(*args, **said))
        tasks.run_import(str(run.job_id))
        run.refresh_from_db()
        return run

    return load


def test_what_is_uploaded_is_kept_with_its_hash_and_nothing_is_stored(upload, uploads_dir, org):
    run = upload(pairs(3))
    assert (run.state, run.origin, run.upload_bytes) == ("uploaded", "tickets.jsonl", 144)
    assert uploads.path_of(run).read_bytes() == lines(pairs(3))
    assert uploads.path_of(run).is_relative_to(uploads_dir / str(org.id) / str(run.id))
    assert len(run.file_sha256) == 64
    assert not CorpusExample.objects.exists()
    assert not SourceDataset.objects.exists()
    assert not Job.objects.exists()


def test_a_confirmed_import_ends_as_a_source_of_the_organisation(load, org, uploads_dir):
    rows = [*pairs(5), {"prompt": "?"}, pairs(1)[0]]
    run = load(rows, task="route a ticket")
    assert (run.state, run.job.state) == ("done", "succeeded")
    counts = (run.rows_total, run.rows_read, run.rows_added, run.rows_duplicate, run.rows_rejected)
    assert counts == (7, 7, 5, 1, 1)
    source = SourceDataset.objects.get()
    facts = (source.org, source.name, source.state, source.row_count, source.license)
    assert facts == (org, "tickets", "ready", 5, "own data")
    row = source.examples.first()
    assert (row.task, row.license, row.import_run) == ("route a ticket", "own data", run)
    assert not uploads.path_of(run).exists()
    [rejected] = [json.loads(line) for line in uploads.rejected_path(run).open()]
    assert (rejected["line"], rejected["code"], rejected["row"]) == (6, "missing_field", rows[5])


def test_rows_that_state_a_licence_keep_it(load):
    load([pairs(1)[0] | {"license": "CC-BY-NC-4.0"}, pairs(2)[1]])
    licenses = set(CorpusExample.objects.values_list("license", flat=True))
    assert licenses == {"CC-BY-NC-4.0", "own data"}


def test_own_rows_are_found_by_their_organisation_alone(load, org):
    load(pairs(3))
    query = np.eye(1, 384, dtype=np.float32)
    [result] = CorpusCatalog(org).nearest(query, limit=10)
    [stranger] = CorpusCatalog(testing.make_org("Rival")).nearest(query, limit=10)
    assert (len(result), stranger) == (3, [])


# --- going on, and taking back --------------------------------------------------------------------


class Killed(BaseException):
    """What no `except Exception` sees: the worker is gone."""


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(loading, "CHUNK_ROWS", 10)


def killed_after(chunks, monkeypatch):
    """Let the worker die while it embeds the next chunk."""
    left, embed = [chunks], loading.embed

    def dying(*args):
        if not left[0]:
            raise Killed
        left[0] -= 1
        return embed(*args)

    return monkeypatch.setattr(loading, "embed", dying)


def lose_the_worker(job_id):
    Job.objects.filter(id=job_id).update(lease_until="2000-01-01T00:00Z")
    reap()


def test_a_killed_worker_s_import_goes_on_behind_the_last_chunk(
    upload, confirm, embedder, small_chunks, monkeypatch
):
    run = confirm(upload([*pairs(25), {"prompt": "?"}]))
    with monkeypatch.context() as patch:
        killed_after(2, patch)
        with pytest.raises(Killed):
            tasks.run_import(str(run.job_id))
    run.refresh_from_db()
    assert (run.rows_read, CorpusExample.objects.count(), run.state) == (20, 20, "running")
    assert not SourceDataset.objects.ready().exists()
    lose_the_worker(run.job_id)
    tasks.run_import(str(run.job_id))
    run.refresh_from_db()
    counts = (run.rows_read, run.rows_added, run.rows_duplicate, run.rows_rejected)
    assert (run.state, counts, embedder.embedded) == ("done", (26, 25, 0, 1), 25)
    assert len(uploads.rejected_path(run).read_text().splitlines()) == 1
    assert SourceDataset.objects.get().row_count == 25


def test_a_cancelled_import_leaves_nothing(
    upload, confirm, alice, small_chunks, monkeypatch, uploads_dir
):
    run = confirm(upload(pairs(25)))
    with monkeypatch.context() as patch:
        killed_after(2, patch)
        with pytest.raises(Killed):
            tasks.run_import(str(run.job_id))
    assert imports.cancel_import(actor=alice, run=run)
    lose_the_worker(run.job_id)
    assert_nothing_is_left(run, "cancelled")


def assert_nothing_is_left(run, state):
    run.refresh_from_db()
    assert (run.state, run.rows_added, run.rows_duplicate) == (state, 0, 0)
    assert run.finished_at
    assert not CorpusExample.objects.filter(import_run=run).exists()
    assert not SourceDataset.objects.exists()
    assert not uploads.folder_of(run).exists()


def test_a_cancel_is_heard_between_two_chunks(upload, confirm, alice, small_chunks, monkeypatch):
    run = confirm(upload(pairs(25)))
    embed = loading.embed

    def cancelling(work, fresh):
        if work.run.rows_read == 10:
            imports.cancel_import(actor=alice, run=run)
        return embed(work, fresh)

    monkeypatch.setattr(loading, "embed", cancelling)
    tasks.run_import(str(run.job_id))
    assert_nothing_is_left(run, "cancelled")
    assert not imports.cancel_import(actor=alice, run=run)


def test_an_import_that_fails_for_good_leaves_nothing(upload, confirm, small_chunks, monkeypatch):
    run = confirm(upload(pairs(25)))
    count = iter(range(3))

    def failing(*args):
        if next(count) == 2:
            raise OSError(28, "No space left on device")
        return original(*args)

    original = loading.embed
    monkeypatch.setattr(loading, "embed", failing)
    tasks.run_import(str(run.job_id))
    assert_nothing_is_left(run, "failed")
    assert "No disk space is left" in run.error_text


def test_a_worker_that_lost_its_job_stores_nothing_more(upload, confirm, small_chunks, monkeypatch):
    run = confirm(upload(pairs(25)))
    embed = loading.embed

    def losing(work, fresh):
        if work.run.rows_read == 10:
            lose_the_worker(run.job_id)
        return embed(work, fresh)

    monkeypatch.setattr(loading, "embed", losing)
    tasks.run_import(str(run.job_id))
    run.refresh_from_db()
    assert (run.state, run.job.state) == ("running", "queued")
    assert (run.rows_read, CorpusExample.objects.count()) == (10, 10)


def test_what_was_there_before_stays_when_an_addition_is_cancelled(
    load, upload, confirm, alice, small_chunks, monkeypatch, org
):
    load(pairs(5))
    run = confirm(upload(pairs(25, start=3)), append=True)
    killed_after(1, monkeypatch)
    with pytest.raises(Killed):
        tasks.run_import(str(run.job_id))
    source = SourceDataset.objects.get()
    assert (source.state, source.row_count) == ("ready", 13)
    assert numbers_chosen_from(CorpusCatalog(org), source) == (5, 5, 5, [5])
    imports.cancel_import(actor=alice, run=run)
    lose_the_worker(run.job_id)
    source.refresh_from_db()
    assert (source.state, source.row_count, source.examples.count()) == ("ready", 5, 5)


def numbers_chosen_from(catalog, source):
    [near] = catalog.nearest(np.eye(1, 384, dtype=np.float32), limit=100)
    background = catalog.background(100)
    rows = catalog.rows([(str(source.id), "")], limit=100)
    return len(near), len(background), len(rows), [g.rows for g in catalog.source_groups()]


def test_the_same_file_twice_adds_nothing_and_embeds_nothing(load, embedder):
    load(pairs(5))
    again = load(pairs(5), append=True)
    assert (again.state, again.rows_added, again.rows_duplicate) == ("done", 0, 5)
    assert embedder.embedded == 5
    assert SourceDataset.objects.get().row_count == 5


def test_an_ended_import_whose_job_is_queued_again_harms_no_other(load, upload, confirm, alice):
    ended = confirm(upload(pairs(5)))
    imports.cancel_import(actor=alice, run=ended)
    loading_now = confirm(upload(pairs(5, start=9)))
    SourceDataset.objects.create(org=ended.org, name="tickets", license="MIT")
    again = jobs.requeue(Job.objects.get(id=ended.job_id))
    tasks.run_import(str(again.id))
    again.refresh_from_db()
    assert (again.state, again.error_code) == ("failed", "import_ended")
    ended.refresh_from_db()
    assert ended.state == "cancelled"
    assert SourceDataset.objects.filter(name="tickets").exists()
    assert uploads.path_of(loading_now).exists()


def test_uploads_that_nobody_confirmed_go_after_a_week(upload, org, uploads_dir):
    forgotten = upload(pairs(1))
    ImportRun.objects.update(created_at=timezone.now() - timedelta(days=8))
    abandoned = uploads_dir / "incoming" / "of-a-dead-process"
    abandoned.write_bytes(b"half a file")
    os.utime(abandoned, (0, 0))
    fresh = upload(pairs(2))
    forgotten.refresh_from_db()
    assert forgotten.state == "cancelled"
    assert not uploads.folder_of(forgotten).exists()
    assert not abandoned.exists()
    assert uploads.path_of(fresh).exists()


def test_deeds_are_recorded_with_who_did_them(upload, confirm, alice, org):
    run = confirm(upload(pairs(1)))
    imports.cancel_import(actor=alice, run=run)
    entries = AuditEntry.objects.filter(org=org, actor=alice).order_by("id")
    actions = ["import.upload", "import.confirm", "import.cancel"]
    assert [entry.action for entry in entries] == actions
    assert {entry.target for entry in entries} == {"tickets.jsonl"}


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"source": "§§"}, "source"),
        ({"source": "x", "user": "a"}, "assistant"),
        ({"source": "x", "assistant": "a"}, "user"),
        ({"source": "x", "context": "a"}, "user"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_field(said, param):
    with pytest.raises(UserFacingError) as error:
        ImportDraft(**said)
    assert error.value.param == param


def test_long_rows_make_small_chunks():
    rows = [loading_row("x" * 3_000_000) for _ in range(5)] + [loading_row("y") for _ in range(9)]
    assert [len(chunk) for chunk in loading.chunks(iter(rows))] == [3, 11]


def loading_row(text):
    return RowError("f", 1, "", "code", "message", "hint", row=text)


def test_personal_data_and_markup_are_changed_only_where_that_is_asked_for(load, org):
    rows = [
        {"prompt": f"<b>Write</b> to ann{i}@example.org please", "completion": "done"}
        for i in (1, 2)
    ]
    as_is, tidy = load(rows[:1]), load(rows[1:], source="tidy", clean_markup=True, redact=True)
    stored = {e.source.name: e.messages[0]["content"] for e in CorpusExample.objects.all()}
    assert stored["tickets"] == "<b>Write</b> to ann1@example.org please"
    assert stored["tidy"] == "Write to [email] please"
    assert as_is.flags == {"contains_markup": 1, "personal_data:email": 1}
    assert as_is.rows_flagged == tidy.rows_flagged == 1
