"""Deeds on pushes of exports: what was packed and signed, as a model repository of the hub.

The token that comes with a push is stored sealed, opened in the worker and forgotten when the push
ends; it is in no job, log or audit entry.
"""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from django.conf import settings
from django.db import transaction

from accounts.models import User
from distillation.pushes.hub import Pushed, check_repo_id, push_files
from distillation.pushes.shared import (
    finish_push,
    hub_with,
    must_not_be_pushing,
    push_of,
    settle_failed_push,
    start_push,
)
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
    check_repo_id(repo_id)
    with transaction.atomic():
        export = (
            Export.objects.select_for_update(of=("self",)).select_related("org").get(pk=export.pk)
        )
        _must_be_there(export)
        _must_be_certified(export)
        _must_have_token(export, token)
        must_not_be_pushing(export.pushes.all(), repo_id)
        push: ExportPush = ExportPush.objects.create(
            org=export.org,
            export=export,
            repo_id=repo_id,
            is_private=is_private,
            token=token,
            created_by=actor,
        )
        start_push(push, kind="push_export", actor=actor)
    return push


def push_export(job: Job, lease: Lease) -> Publish:
    related = ExportPush.objects.select_related("export__version__model", "org", "created_by")
    push = push_of(job, related)
    _must_be_there(push.export)
    _must_have_token(push.export, push.token)
    lease.stage("push", f"Pushing to {push.repo_id}")
    pushed = _push(push)
    lease.check()
    return lambda: finish_push(push, pushed, page=push.repo_id, token="")


def settle_ended_push(job: Job) -> None:
    """The token is forgotten."""
    for push in ExportPush.objects.filter(id=job.subject_id).select_related("org", "created_by"):
        ExportPush.objects.filter(pk=push.pk).update(token="")
        settle_failed_push(push, job)


def _push(push: ExportPush) -> Pushed:
    version = push.export.version
    with TemporaryDirectory(dir=settings.ARTIFACTS_DIR) as folder:
        return push_files(
            hub_with(push.token or push.org.hub_token),
            push.repo_id,
            _files(push.export, Path(folder)),
            digest=push.export.sha256,
            is_private=push.is_private,
            message=f"{version.model.name}, version {version.number}",
            repo_type="model",
        )


def _files(export: Export, folder: Path) -> dict[str, Path | bytes]:
    """As they were packed. The hub shows README.md: there the card goes, which the bundle has under
    another name; what tells how to run it goes along as USE.md.
    """
    names = {README: "USE.md", CARD: README}
    files: dict[str, Path | bytes] = {}
    with zipfile.ZipFile(file_of(export)) as archive:
        archive.extractall(folder)
        for packed in archive.namelist():
            name = str(PurePosixPath(packed).relative_to(PurePosixPath(packed).parts[0]))
            files[names.get(name, name)] = folder / packed
    card = files[README]
    assert isinstance(card, Path)
    return {**files, CARD: card}


def _must_be_there(export: Export) -> None:
    if not export.is_there:
        raise Conflict(
            "The file of this export is not there (any more).",
            code="export_gone",
            hint="Wait until it is made, or export the version again.",
        )


def _must_be_certified(export: Export) -> None:
    if not export.is_certified:
        raise Conflict(
            "The parity certificate of this export did not pass, so it is not published.",
            code="not_certified",
            hint="The certificate says what differs. It can still be downloaded.",
        )


def _must_have_token(export: Export, token: object) -> None:
    if not token and not export.org.hub_token:
        raise Conflict(
            "There is no token of the hub to push with.",
            code="no_hub_token",
            hint="Give one with the push, or let an admin store one on the settings page.",
        )
