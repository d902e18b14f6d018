"""Deeds on pushes: send a frozen dataset to the hub with the organisation's own token.

The token is opened in the worker, for the length of the push. It is in no job, log or audit entry.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts.audit import record
from accounts.models import Organization, User
from distillation.cards import card_text
from distillation.hub import Pushed, check_repo_id, push_files
from distillation.models import DatasetPush, DatasetVersion
from distillation.pipeline.card import CARD
from modelstation.core import jobs
from modelstation.core.artifacts import MANIFEST, ArtifactError, verify
from modelstation.core.encrypted import Sealed
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import Publish
from modelstation.core.lease import Lease
from modelstation.core.models import Job


def submit_push(
    *, actor: User, dataset: DatasetVersion, repo_id: str, is_private: bool = True
) -> DatasetPush:
    check_repo_id(repo_id)
    with transaction.atomic():
        dataset = DatasetVersion.objects.select_for_update().get(pk=dataset.pk)
        _must_be_frozen(dataset)
        _must_have_token(dataset.org)
        _must_not_be_pushing(dataset, repo_id)
        push: DatasetPush = DatasetPush.objects.create(
            org=dataset.org,
            dataset=dataset,
            repo_id=repo_id,
            is_private=is_private,
            created_by=actor,
        )
        push.job = jobs.submit(kind="push", org=dataset.org, subject_id=push.pk)
        push.save(update_fields=["job"])
        _record(push, actor, "dataset.push", is_private=is_private)
    return push


def push_dataset(job: Job, lease: Lease) -> Publish:
    push = DatasetPush.objects.select_related("dataset__model", "dataset__run", "org").get(
        id=job.subject_id
    )
    DatasetPush.objects.filter(pk=push.pk).update(job=job)  # another one, when it was requeued
    lease.stage("push", f"Pushing to {push.repo_id}")
    pushed = _push(push)
    lease.check()
    return lambda: _publish(push, pushed)


def settle_ended_push(job: Job) -> None:
    """Why it failed stands on its job; the audit tells that it did."""
    for push in DatasetPush.objects.filter(id=job.subject_id).select_related("org", "created_by"):
        _record(push, push.created_by, f"dataset.push_{job.state}", code=job.error_code)


def _push(push: DatasetPush) -> Pushed:
    from huggingface_hub import HfApi

    dataset = push.dataset
    _must_have_token(push.org)
    assert isinstance(push.org.hub_token, Sealed)
    return push_files(
        HfApi(endpoint=settings.HF_ENDPOINT, token=push.org.hub_token.open()),
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


def _publish(push: DatasetPush, pushed: Pushed) -> None:
    """In the transaction that ends the job."""
    push.url = f"{settings.HF_ENDPOINT}/datasets/{push.repo_id}"
    push.commit, push.is_new_commit = pushed.commit, pushed.is_new
    push.digest = push.dataset.digest
    push.save(update_fields=["url", "commit", "is_new_commit", "digest"])
    _record(push, push.created_by, "dataset.pushed", commit=push.commit)


def _record(push: DatasetPush, actor: User | None, action: str, **facts: str | bool) -> None:
    record(org=push.org, actor=actor, action=action, target=push.repo_id, **facts)


def _must_be_frozen(dataset: DatasetVersion) -> None:
    if dataset.state != DatasetVersion.State.FROZEN:
        raise UserFacingError(
            "Only a frozen dataset can be pushed.", code="not_frozen", hint="Freeze it first."
        )


def _must_have_token(org: Organization) -> None:
    if not org.hub_token:
        raise UserFacingError(
            "Your organisation has stored no token of the hub.",
            code="no_hub_token",
            hint="An admin or owner stores one on the settings page.",
        )


def _must_not_be_pushing(dataset: DatasetVersion, repo_id: str) -> None:
    live = DatasetPush.objects.filter(
        dataset=dataset, repo_id=repo_id, job__state__in=Job.LIVE_STATES
    )
    if live.exists():
        raise UserFacingError(
            f"This dataset is being pushed to {repo_id} already.",
            code="already_pushing",
            hint="Wait until that push has ended.",
        )
