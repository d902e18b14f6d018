"""Actions on an organisation's own data: upload a file, confirm how it is read, cancel.

What is uploaded waits until somebody confirms it; then a job loads it. An import that is cancelled
or fails takes back all that it stored.
"""

from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.text import slugify

from accounts.audit import record
from accounts.models import Organization, User
from distillation.imports import uploads
from distillation.imports.reading.preview import Preview, preview_file
from distillation.imports.reading.readers import reader_of, refuse_unreadable
from distillation.imports.reading.rows import ReadOptions
from distillation.imports.reading.shapes import ColumnMapping
from distillation.limits import NAME_CHARS, ORIGIN_CHARS
from distillation.models import CorpusExample, DatasetRow, ImportRun, SourceDataset
from distillation.pipeline.licenses import OWN_DATA
from models_app.models import CustomModel
from modelstation.core.errors import Busy, Conflict, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job

State = ImportRun.State
FORGOTTEN_AFTER = timedelta(days=7)
COLUMN_FIELDS = ("user", "assistant", "system", "context")


@dataclass(frozen=True)
class ImportDraft:
    """What somebody says of a file. Without `user` and `assistant`, columns are found by name."""

    source: str
    license: str = OWN_DATA  # of rows that state none
    task: str = ""
    append: bool = False  # to the organisation's source of that name
    user: str = ""
    assistant: str = ""
    system: str = ""
    context: str = ""
    task_column: str = "task"
    clean_markup: bool = False  # store text where rows hold HTML
    redact: bool = False  # store [email], [phone] … where rows hold personal data

    def __post_init__(self) -> None:
        if not self.source_name:
            raise UserFacingError(
                "Give the source a name with a letter from a to z, or a digit.", param="source"
            )
        if bool(self.user) != bool(self.assistant):
            missing = "assistant" if self.user else "user"
            message = "Question and answer each need a column."
            raise UserFacingError(message, param=missing, hint="Name both, or leave both out.")
        if (self.system or self.context) and not self.user:
            raise UserFacingError("Say which column holds the question.", param="user")

    @property
    def source_name(self) -> str:
        return slugify(self.source)[:NAME_CHARS].strip("-")

    @property
    def columns(self) -> ColumnMapping | None:
        if not self.user:
            return None
        return ColumnMapping(self.user, self.assistant, self.system, self.context)


def draft_of(run: ImportRun) -> ImportDraft:
    return ImportDraft(**{"source": name_from_file(run.origin), **run.options})


def read_options(draft: ImportDraft) -> ReadOptions:
    return ReadOptions(
        source=draft.source_name,
        default_license=draft.license,
        task=draft.task,
        task_column=draft.task_column,
        columns=draft.columns,
        clean_markup=draft.clean_markup,
        redact=draft.redact,
    )


def name_from_file(file_name: str) -> str:
    """`Our tickets 2026.csv.gz` → `our-tickets-2026`"""
    stem = uploads.safe_name(file_name).split(".")[0].replace("_", "-")
    return slugify(stem)[:NAME_CHARS] or "upload"


def upload(
    *,
    actor: User | None,
    org: Organization,
    file: uploads.ReceivedFile,
    draft: ImportDraft,
    model: CustomModel | None = None,
) -> ImportRun:
    """Keep the file, to be looked at and confirmed; `model` uses its rows once they are loaded.
    Raises ImportRefused for a file of no use.
    """
    discard_forgotten(org)
    run = ImportRun(
        org=org,
        origin=Path(file.name or "").name[:ORIGIN_CHARS],
        file_sha256=file.sha256.hexdigest(),
        upload_bytes=file.size or 0,
        options=asdict(draft),
        state=State.UPLOADED,
        model=model,
        created_by=actor,
    )
    path = uploads.keep(file, run)
    try:
        refuse_unreadable(path)
        reader_of(path).check(path, ReadOptions().limits)
        with transaction.atomic():
            run.save()
            record(org=org, actor=actor, action="import.upload", target=run.origin)
    except Exception:
        uploads.remove_all(run)
        raise
    return run


def discard_forgotten(org: Organization) -> None:
    """Files that nobody confirmed in a week do not fill the disk for ever."""
    uploads.remove_abandoned()
    long_ago = timezone.now() - FORGOTTEN_AFTER
    for run in ImportRun.objects.filter(org=org, state=State.UPLOADED, created_at__lt=long_ago):
        _discard(run)


def preview_of(run: ImportRun, draft: ImportDraft) -> Preview:
    return preview_file(uploads.path_of(run), read_options(draft))


def confirm_import(*, actor: User, run: ImportRun, draft: ImportDraft) -> ImportRun:
    """Load it: the job is enqueued in the same transaction."""
    refuse_confirmed(run)
    refuse_unusable(preview_of(run, draft), draft)
    with transaction.atomic():
        org, run = _locked(run)
        refuse_confirmed(run)
        refuse_taken(run, draft)
        run.options, run.state = asdict(draft), State.RUNNING
        run.job = jobs.submit(kind="import", org=org, subject_id=run.id)
        run.save(update_fields=["options", "state", "job"])
        record(org=org, actor=actor, action="import.confirm", target=run.origin)
    return run


def _locked(run: ImportRun) -> tuple[Organization, ImportRun]:
    """Let one action of an organisation run at a time, so that no two make one source."""
    assert run.org_id is not None
    org = Organization.objects.select_for_update(no_key=True).get(id=run.org_id)
    return org, ImportRun.objects.select_related("job").get(id=run.id)


def refuse_confirmed(run: ImportRun) -> None:
    if run.state != State.UPLOADED:
        raise Conflict("This import was confirmed or discarded already.", code="import_confirmed")


def refuse_unusable(preview: Preview, draft: ImportDraft) -> None:
    if preview.refusal:
        raise preview.refusal
    for name in COLUMN_FIELDS:
        column = getattr(draft, name)
        if column and column not in preview.columns:
            message = f"The file has no column “{column}”."
            hint = f"It has: {', '.join(preview.columns)}."
            raise UserFacingError(message, code="unknown_columns", param=name, hint=hint)
    if preview.mapping is None:
        message = "It is not clear which columns hold question and answer."
        hint = f"Choose them among: {', '.join(preview.columns)}."
        raise UserFacingError(message, code="unknown_columns", param="user", hint=hint)
    if preview.is_whole and not preview.accepted:
        message = "No row of this file can be used as it is read now."
        hint = "Choose other columns, or correct the rows and upload the file again."
        raise UserFacingError(message, code="no_usable_rows", hint=hint)


def refuse_taken(run: ImportRun, draft: ImportDraft) -> None:
    name = draft.source_name
    busy = ImportRun.objects.filter(org=run.org, state=State.RUNNING)
    if any(draft_of(other).source_name == name for other in busy):
        message = f"Another import is adding to “{name}” now."
        hint = "Wait for its end, or choose another name."
        raise Busy(message, code="source_busy", param="source", hint=hint)
    if not draft.append and SourceDataset.objects.filter(org=run.org, name=name).exists():
        message = f"You have a source “{name}” already."
        hint = "Choose another name, or say that the rows are to be added to it."
        raise Conflict(message, code="source_exists", param="source", hint=hint)


def problem_of(run: ImportRun, draft: ImportDraft, preview: Preview) -> UserFacingError | None:
    """Why it could not be confirmed as it stands."""
    try:
        refuse_unusable(preview, draft)
        refuse_taken(run, draft)
    except UserFacingError as error:
        return error
    return None


def earlier(run: ImportRun) -> ImportRun | None:
    same = ImportRun.objects.filter(org=run.org, file_sha256=run.file_sha256, state=State.DONE)
    return same.exclude(id=run.id).first()


def cancel_import(*, actor: User, run: ImportRun) -> bool:
    """Discard a file that waits, or stop its loading. False when it has ended already."""
    with transaction.atomic():
        org, run = _locked(run)
        if run.state == State.UPLOADED:
            _discard(run)
        elif run.job is None or not jobs.request_cancel(run.job):
            return False
        record(org=org, actor=actor, action="import.cancel", target=run.origin)
    return True


def _discard(run: ImportRun) -> None:
    run.state, run.finished_at = State.CANCELLED, timezone.now()
    run.save(update_fields=["state", "finished_at"])
    transaction.on_commit(lambda: uploads.remove_all(run))


def settle_ended_import(job: Job) -> None:
    """Run in the transaction that ends a job without success: nothing of the import stays."""
    run = ImportRun.objects.select_related("org").filter(id=job.subject_id).first()
    if run is not None and run.state == State.RUNNING:
        settle(run, job)


def settle(run: ImportRun, job: Job) -> None:
    """End an import with the job that loaded it and did not succeed."""
    take_back(run)
    run.state = State.CANCELLED if job.state == Job.State.CANCELLED else State.FAILED
    run.error_text = job.error_text if run.state == State.FAILED else ""
    run.finished_at = timezone.now()
    run.rows_added = run.rows_duplicate = run.rows_flagged = 0
    run.flags = {}
    run.save()
    transaction.on_commit(lambda: uploads.remove_all(run))


_DELETE_ROWS = f"""
    WITH gone AS (
        DELETE FROM {CorpusExample._meta.db_table} WHERE import_run_id = %s RETURNING source_id
    ) SELECT source_id, count(*) FROM gone GROUP BY source_id
"""


def take_back(run: ImportRun) -> None:
    """Its rows, and the source if it made one. In SQL: Django would fetch each row to delete it."""
    DatasetRow.objects.filter(example__import_run=run).update(example=None)
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_ROWS, [run.id])
        for source_id, count in cursor.fetchall():
            left = F("row_count") - count
            SourceDataset.objects.filter(id=source_id).update(row_count=left)
    made = SourceDataset.objects.filter(org=run.org, name=draft_of(run).source_name)
    made.filter(state=SourceDataset.State.LOADING).delete()
