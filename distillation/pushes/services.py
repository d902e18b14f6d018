"""Deeds on pushes: send a frozen dataset to the hub with the organisation's own token.

The token is opened in the worker, for the length of the push. It is in no job, log or audit entry.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts.models import Organization, User
from distillation.datasets.cards import card_text
from distillation.models import DatasetPush, DatasetVersion
from distillation.pipeline.card import CARD
from distillation.pushes.hub import Pushed, check_repo_id, push_files
from distillation.pushes.shared import (
    finish_push,
    hub_with,
    must_not_be_pushing,
    push_of,
    settle_failed_push,
    start_push,
)
from modelstation.core.artifacts import MANIFEST, ArtifactError, verify
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job


def submit_push(
    *, actor: User, dataset: DatasetVersion, repo_id: str, is_private: bool = True
) -> DatasetPush:
    check_repo_id(repo_id)
    with transaction.atomic():
        dataset = DatasetVersion.objects.select_for_update().get(pk=dataset.pk)
        _must_be_frozen(dataset)
        _must_have_token(dataset.org)
        must_not_be_pushing(dataset.pushes.all(), repo_id)
        push: DatasetPush = DatasetPush.objects.create(
            org=dataset.org,
            dataset=dataset,
            repo_id=repo_id,
            is_private=is_private,
            created_by=actor,
        )
        start_push(push, kind="push", actor=actor)
    return push


def push_dataset(job: Job, lease: Lease) -> Publish:
    related = DatasetPush.objects.select_related("dataset__model", "dataset__run", "org")
    push = push_of(job, related)
    lease.stage("push", f"Pushing to {push.repo_id}")
    pushed = _push(push)
    lease.check()
    return lambda: finish_push(
        push, pushed, page=f"datasets/{push.repo_id}", digest=push.dataset.digest
    )


def settle_ended_push(job: Job) -> None:
    for push in DatasetPush.objects.filter(id=job.subject_id).select_related("org", "created_by"):
        settle_failed_push(push, job)


def _push(push: DatasetPush) -> Pushed:
    dataset = push.dataset
    _must_have_token(push.org)
    return push_files(
        hub_with(push.org.hub_token),
        push.repo_id,
        _files(dataset),
        digest=dataset.digest,
        is_private=push.is_private,
        message=f"{dataset.model.name}, dataset {dataset.number} ({dataset.digest[:12]})",
    )


def _files(dataset: DatasetVersion) -> dict[str, Path | bytes]:
    """The frozen files, after a look that they are what was frozen, and the card."""
    folder = settings.ARTIFACTS_DIR / dataset.folder
    try:
        manifest = verify(folder)
    except ArtifactError as error:
        raise UserFacingError(
            "The files of this dataset are not what was frozen, so they are not pushed.",
            code="files_changed",
            hint="Its lineage page says which file differs. Build the model again.",
        ) from error
    names = [entry["path"] for entry in manifest["files"] if entry["path"] != MANIFEST]
    return {**{name: folder / name for name in names}, CARD: card_text(dataset).encode()}


def _must_be_frozen(dataset: DatasetVersion) -> None:
    if dataset.state != DatasetVersion.State.FROZEN:
        raise Conflict(
            "Only a frozen dataset can be pushed.", code="not_frozen", hint="Freeze it first."
        )


def _must_have_token(org: Organization) -> None:
    if not org.hub_token:
        raise Conflict(
            "Your organisation has stored no token of the hub.",
            code="no_hub_token",
            hint="An admin or owner stores one on the settings page.",
        )
