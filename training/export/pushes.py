"""Pushes of an export: what was packed and signed, as a model repository of the hub.

The token that comes with a push is stored sealed and forgotten when the push ends.
"""

import zipfile
from pathlib import Path, PurePosixPath

from django.db import transaction

from accounts.models import User
from distillation.pushes import shared
from modelstation.core.errors import Conflict
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job
from training.export.services import file_of
from training.models import Export, ExportPush

CARD, README = "MODEL_CARD.md", "README.md"


def submit_push(
    *, actor: User, export: Export, repo_id: str, token: str = "", is_private: bool = True
) -> ExportPush:
    with transaction.atomic():
        exports = Export.objects.select_for_update(of=("self",)).select_related("org")
        export = exports.get(pk=export.pk)
        _must_be_there(export)
        if not export.is_certified:
            raise Conflict(
                "The parity certificate of this export did not pass, so it is not published.",
                code="not_certified",
                hint="The certificate says what differs. It can still be downloaded.",
            )
        push = ExportPush(org=export.org, export=export, created_by=actor, token=token)
        push.repo_id, push.is_private = repo_id, is_private
        return shared.submit(push, export.pushes.all())


def push_export(job: Job, lease: Lease) -> Publish:
    pushes = ExportPush.objects.select_related("export__version__model", "org", "created_by")
    return shared.run(job, lease, pushes, _upload)


def settle_ended_push(job: Job) -> None:
    ExportPush.objects.filter(id=job.subject_id).update(token="")
    shared.settle_failed(ExportPush.objects.all(), job)


def _upload(push: ExportPush, work: Path) -> shared.Upload:
    export, version = push.export, push.export.version
    _must_be_there(export)
    return shared.Upload(
        files=_files(export, work),
        digest=export.sha256,
        message=f"{version.model.name}, version {version.number}",
        kept={"token": ""},
    )


def _files(export: Export, folder: Path) -> dict[str, Path | bytes]:
    """Return them as they were packed. The hub shows README.md: there the card goes, which the
    bundle has under another name; what says how to run it goes along as USE.md.
    """
    names = {README: "USE.md", CARD: README}
    files: dict[str, Path | bytes] = {}
    with zipfile.ZipFile(file_of(export)) as archive:
        archive.extractall(folder)
        for packed in archive.namelist():
            name = str(PurePosixPath(packed).relative_to(PurePosixPath(packed).parts[0]))
            files[names.get(name, name)] = folder / packed
    return {**files, CARD: files[README]}


def _must_be_there(export: Export) -> None:
    if not export.is_there:
        hint = "Wait until it is made, or export the version again."
        message = "The file of this export is not there (any more)."
        raise Conflict(message, code="export_gone", hint=hint)
