"""Actions on the stored answers of a model: found by what they hold, and made rows of its data."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.text import slugify

from accounts.audit import record
from accounts.models import User
from distillation.imports.reading.errors import BadRow, RowError
from distillation.imports.reading.json_rows import RawRow
from distillation.imports.reading.rows import ExampleRow, ReadOptions, to_examples
from distillation.limits import NAME_CHARS
from distillation.logs.formats.calls import LoggedCall, messages_of
from distillation.model_data.services import use_source
from distillation.model_data.storing import store_examples
from distillation.models import ImportRun, LogUse, SourceDataset
from distillation.pipeline.licenses import OWN_DATA
from distillation.pipeline.provenance import Provenance
from models_app.models import CustomModel, StoredCompletion
from modelstation.core.errors import Busy, Conflict, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job

MOST_ROWS = 50_000
ORIGIN = "stored answers"
NO_ROWS = "Nothing is stored that fits. Send requests with `store: true`, or choose less narrowly."


@dataclass(frozen=True)
class LogFilter:
    """Which of the stored answers: of a version, with a label, holding a text."""

    version: int | None = None
    key: str = ""
    value: str = ""
    text: str = ""

    @classmethod
    def from_json(cls, chosen: Mapping[str, Any]) -> "LogFilter":
        return cls(**chosen)


def stored_of(model: CustomModel, chosen: LogFilter) -> QuerySet[StoredCompletion]:
    """Return the stored answers of the model, newest first."""
    rows: QuerySet[StoredCompletion] = StoredCompletion.objects.filter(
        org=model.org_id, model=model
    )
    if chosen.version is not None:
        rows = rows.filter(version__number=chosen.version)
    if chosen.key and chosen.value:
        rows = rows.filter(metadata__contains={chosen.key: chosen.value})
    elif chosen.key:
        rows = rows.filter(metadata__has_key=chosen.key)
    if chosen.text:
        held = Q(messages__icontains=chosen.text) | Q(choices__icontains=chosen.text)
        rows = rows.filter(held)
    return rows.select_related("version")


def source_name_of(model: CustomModel) -> str:
    return slugify(f"logs of {model.slug}")[:NAME_CHARS].strip("-")


def use_logs(*, actor: User, model: CustomModel, chosen: LogFilter) -> LogUse:
    """Make rows of them, as labels that nobody has checked; a job does it."""
    if not stored_of(model, chosen).exists():
        raise UserFacingError(NO_ROWS, code="no_logs")
    with transaction.atomic():
        model = CustomModel.objects.select_for_update(of=("self",)).get(id=model.id)
        running = model.log_uses.filter(run__state=ImportRun.State.RUNNING)
        if running.exists():
            message = "Stored answers of this model are being made rows already."
            raise Busy(message, code="logs_busy", hint="Wait for the end of that.")
        run = ImportRun.objects.create(
            org=model.org,
            origin=ORIGIN,
            options={"source": source_name_of(model), "append": True},
            created_by=actor,
        )
        use: LogUse = LogUse.objects.create(
            org=model.org, model=model, run=run, chosen=asdict(chosen), created_by=actor
        )
        run.job = jobs.submit(kind="log_rows", org=model.org, subject_id=run.id)
        run.save(update_fields=["job"])
        record(org=model.org, actor=actor, action="model.use_logs", target=model)
    return use


def load_logs(job: Job, lease: Lease) -> Publish:
    """Store the rows, for a worker; the model uses them once the job has ended well."""
    uses = LogUse.objects.select_related("model__org", "run__org", "created_by")
    use = uses.filter(run_id=job.subject_id).first()
    if use is None:
        raise Conflict("The model of this import was deleted.", code="model_deleted")
    lease.stage("load", "Reading stored answers, embedding and storing them")
    run, source = store_examples(
        run=use.run,
        kind=SourceDataset.Kind.LOGS,
        rows=lambda: _examples(use),
        origin=ORIGIN,
        lease=lease,
    )
    if source is None:
        message = "None of the stored answers can be used as a row."
        raise UserFacingError(message, code="no_usable_rows", hint="They are cut off, or no text.")
    return lambda: _publish(use, source)


def _publish(use: LogUse, source: SourceDataset) -> None:
    use_source(actor=use.created_by, model=use.model, source=source)


def _examples(use: LogUse) -> Iterator[ExampleRow | RowError]:
    """Return the oldest first: a worker that takes over finds them in the same order."""
    before = stored_of(use.model, LogFilter.from_json(use.chosen)).filter(
        created_at__lte=use.run.created_at
    )
    rows = before.order_by("created_at", "id")[:MOST_ROWS].iterator(chunk_size=500)
    options = ReadOptions(source=source_name_of(use.model), default_license=OWN_DATA)
    return to_examples(_raw(rows), ORIGIN, options)


def _raw(rows: Iterator[StoredCompletion]) -> Iterator[RawRow | RowError]:
    for line, stored in enumerate(rows, 1):
        try:
            yield _conversation(line, stored)
        except BadRow as error:
            yield error.at(ORIGIN, line, stored.question)


def _conversation(line: int, stored: StoredCompletion) -> RawRow:
    [choice, *_] = stored.choices
    number = f" v{stored.version.number}" if stored.version else ""
    call = LoggedCall([*stored.messages, choice["message"]], finish_reason=choice["finish_reason"])
    provenance = Provenance(
        labelled_by="log",
        who=f"{stored.name}{number}",
        external=stored.completion_id,
        at=stored.created_at.isoformat(timespec="seconds"),
    )
    return RawRow(line, {"messages": messages_of(call), "id": stored.completion_id}, provenance)
