"""Own labelled rows of a model: a file or a pasted table, kept until the next build loads it.

A build loads them first, as its own first stage, so that whoever waits, cancels or follows a build
need not know of a second job.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from django.db import transaction
from django.utils.text import slugify

from accounts.audit import record
from accounts.models import Organization, User
from distillation.imports import services as imports
from distillation.imports import uploads
from distillation.imports.services import ImportDraft
from distillation.limits import NAME_CHARS
from distillation.models import ImportRun, Labelling, SourceDataset
from models_app.models import CustomModel
from modelstation.core.errors import Busy
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job

READ_BYTES = 1 << 20
State = ImportRun.State


@dataclass(frozen=True)
class OwnRows:
    """An upload that was looked at, and how it is read."""

    run: ImportRun
    draft: ImportDraft


def keep_form(
    *,
    actor: User,
    org: Organization,
    file: uploads.ReceivedFile | None,
    pasted: str,
    model: CustomModel | None = None,
    name: str = "",
) -> ImportRun:
    """Keep what a form brought: the file, else what was pasted."""
    if file is None:
        file = text_file(pasted, name or (model.name if model else ""))
    return keep(actor=actor, org=org, file=file, model=model)


def text_file(text: str, name: str) -> uploads.ReceivedFile:
    """Return a pasted table as a file of the kind that it is."""
    kind = ".jsonl" if text.lstrip().startswith("{") else ".csv"
    kind = ".json" if text.lstrip().startswith("[") else kind
    data = text.strip("\r\n").encode()
    return received(f"{slugify(name)[:40] or 'pasted'}-rows{kind}", [data])


def keep_path(*, actor: User | None, org: Organization, path: Path) -> ImportRun:
    """Keep a copy of a file of this machine, for the terminal."""
    with path.open("rb") as source:
        chunks = iter(lambda: source.read(READ_BYTES), b"")
        return keep(actor=actor, org=org, file=received(path.name, chunks))


def received(name: str, chunks: Iterable[bytes]) -> uploads.ReceivedFile:
    """Return a file as if it had been uploaded."""
    file = uploads.ReceivedFile(name, None, None)
    for chunk in chunks:
        file.write(chunk)
        file.sha256.update(chunk)
        file.size = (file.size or 0) + len(chunk)
    return file


def keep(
    *,
    actor: User | None,
    org: Organization,
    file: uploads.ReceivedFile,
    model: CustomModel | None = None,
) -> ImportRun:
    """Keep a file under a name of its own; one that was loaded before is the same source again."""
    digest = file.sha256.hexdigest()
    before = ImportRun.objects.filter(org=org, file_sha256=digest, state=State.DONE).first()
    if before is not None and _source(org, imports.draft_of(before)) is not None:
        draft = replace(imports.draft_of(before), append=True)
    else:
        draft = ImportDraft(source=free_name(org, imports.name_from_file(file.name or "")))
    return imports.upload(actor=actor, org=org, file=file, draft=draft, model=model)


def free_name(org: Organization, wanted: str) -> str:
    """Return the name, with a number behind it where a source of the organisation has it."""
    wanted = wanted[: NAME_CHARS - 4]
    alike = SourceDataset.objects.filter(org=org, name__startswith=wanted)
    taken = set(alike.values_list("name", flat=True))
    numbered = (f"{wanted}-{number}" for number in range(2, len(taken) + 3))
    return wanted if wanted not in taken else next(name for name in numbered if name not in taken)


def _source(org: Organization, draft: ImportDraft) -> SourceDataset | None:
    return SourceDataset.objects.filter(org=org, name=draft.source_name).first()


# --- For the next build ---------------------------------------------------------------------------


def attach(*, actor: User | None, model: CustomModel, rows: Sequence[OwnRows]) -> None:
    """Let the next build of the model load these rows and use them. Refused as on the page."""
    for each in rows:
        imports.refuse_confirmed(each.run)
        imports.refuse_unusable(imports.preview_of(each.run, each.draft), each.draft)
    with transaction.atomic():
        for each in rows:
            imports.refuse_taken(each.run, each.draft)
            waiting = {"model": model, "state": State.RUNNING, "options": asdict(each.draft)}
            ImportRun.objects.filter(id=each.run.id, state=State.UPLOADED).update(**waiting)
            record(org=model.org, actor=actor, action="import.confirm", target=each.run.origin)


def waiting_for(model: CustomModel) -> list[ImportRun]:
    runs = ImportRun.objects.filter(model=model, state=State.RUNNING, job=None)
    return list(runs.select_related("org", "model__org", "created_by").order_by("created_at"))


def refuse_loading(model: CustomModel) -> None:
    """Refuse a build that would begin without rows that are being loaded for it."""
    loading = ImportRun.objects.filter(model=model, state=State.RUNNING, job__isnull=False).first()
    if loading is not None:
        message = f"The rows of {loading.origin} are still being loaded."
        hint = "Wait for their end, or cancel the import."
        raise Busy(message, code="rows_loading", hint=hint)
    if Labelling.objects.storing(model).exists():
        message = "The rows of your labelled inputs are still being stored."
        raise Busy(message, code="rows_loading", hint="Wait a moment, then build again.")


def settle_waiting(model: CustomModel, job: Job) -> None:
    """Run in the transaction that ends a build without success: no half-loaded rows stay."""
    for run in waiting_for(model):
        imports.settle(run, job)


def load_waiting(model: CustomModel, lease: Lease) -> None:
    """Load what waits for this build, for a worker."""
    from distillation.imports.runner import finish_for_model, load_file

    for run in waiting_for(model):
        work = load_file(run, lease)
        with transaction.atomic():
            finish_for_model(work)
            lease.beat()
            lease.check()
