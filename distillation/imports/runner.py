"""The job that loads an uploaded file: one look at every row, then chunk by chunk into the corpus.

A worker that takes over from one that died looks again only if the look was not finished, and goes
on behind the last chunk that was committed.
"""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from django.db import transaction

from distillation.imports import uploads
from distillation.imports.loading import Import, Row, file_origin, finish, load_rows
from distillation.imports.reading.errors import RowError
from distillation.imports.reading.rows import ReadOptions, nothing_usable, read_examples, tally
from distillation.imports.services import draft_of, read_options
from distillation.model_data.services import use_source
from distillation.models import ImportRun
from modelstation.core.errors import Conflict
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job

REPORT_EVERY_ROWS = 2_000


def load_upload(job: Job, lease: Lease) -> Publish:
    runs = ImportRun.objects.select_related("org", "job", "model__org", "created_by")
    run = runs.get(id=job.subject_id)
    if run.state != ImportRun.State.RUNNING:
        message = "This import has ended, and its file is gone."
        raise Conflict(message, code="import_ended", hint="Upload the file again.")
    work = load_file(run, lease)
    lease.check()
    return lambda: finish_for_model(work)


def load_file(run: ImportRun, lease: Lease) -> Import:
    """Load its rows; `finish_for_model` makes them visible."""
    from modelstation.lm.embedding import load_embedder

    path, options = uploads.path_of(run), read_options(draft_of(run))
    if not run.rows_total:
        look_at(run, path, options, lease)
    lease.stage("load", "Embedding and storing the rows")
    pace = Pace(lease, run.rows_total, run.rows_read)
    work = Import(run, file_origin(path, options), load_embedder, pace, lease.beat)
    load_rows(work)
    return work


def look_at(run: ImportRun, path: Path, options: ReadOptions, lease: Lease) -> None:
    """Read every row and store none, so that a file is refused before half of it is loaded."""
    lease.stage("look", "Reading every row once")
    rejected = uploads.rejected_path(run)
    unfinished = rejected.with_suffix(".part")
    with unfinished.open("w", encoding="utf-8") as out:
        look = tally(keeping_rejected(reporting(read_examples(path, options), lease), out))
    unfinished.rename(rejected)
    run.errors = [error.as_dict() for error in look.errors]
    if not look.accepted:
        run.rows_read, run.rows_rejected = look.read, look.rejected
        run.save()
        raise nothing_usable(run.origin, look)
    run.rows_total = look.read
    run.save()


def reporting(rows: Iterable[Row], lease: Lease) -> Iterator[Row]:
    """How many there are is not known before the last one."""
    for number, row in enumerate(rows, 1):
        if number % REPORT_EVERY_ROWS == 0:
            lease.progress(step=number, total_steps=0)
        yield row


def keeping_rejected(rows: Iterable[Row], out: TextIO) -> Iterator[Row]:
    for row in rows:
        if isinstance(row, RowError):
            out.write(json.dumps(row.as_dict() | {"row": row.row}, default=str) + "\n")
        yield row


class Pace:
    """Rows done of all, rows a second of this worker, and the seconds that are left."""

    def __init__(self, lease: Lease, total: int, passed_over: int) -> None:
        self._lease, self._total, self._passed_over = lease, total, passed_over
        self._done = 0
        self._started = time.monotonic()

    def __call__(self, rows: int) -> None:
        self._done += rows
        fresh = self._done - self._passed_over
        if fresh <= 0:
            self._started = time.monotonic()
            self._lease.check()
            return
        speed = fresh / max(time.monotonic() - self._started, 1e-3)
        self._lease.progress(
            step=min(self._done, self._total),
            total_steps=self._total,
            rows_per_second=round(speed, 1),
            eta_seconds=round(max(0, self._total - self._done) / speed),
        )


def finish_for_model(work: Import) -> None:
    """Make the rows visible, and let the model that they were brought for use their sources. In
    the transaction that ends the loading.
    """
    finish(work)
    run = work.run
    if run.model is not None:
        for source in work.sources.values():
            use_source(actor=run.created_by, model=run.model, source=source)
    transaction.on_commit(lambda: uploads.remove_file(run))
