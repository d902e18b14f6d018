"""Pushes of a frozen dataset, with the organisation's own token."""

from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts.models import User
from distillation.datasets.cards import card_text
from distillation.models import DatasetPush, DatasetVersion
from distillation.pipeline.card import CARD
from distillation.pushes import shared
from modelstation.core.artifacts import MANIFEST, ArtifactError, verify
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job


def submit_push(
    *, actor: User, dataset: DatasetVersion, repo_id: str, is_private: bool = True
) -> DatasetPush:
    with transaction.atomic():
        dataset = DatasetVersion.objects.select_for_update().get(pk=dataset.pk)
        if dataset.state != DatasetVersion.State.FROZEN:
            message = "Only a frozen dataset can be pushed."
            raise Conflict(message, code="not_frozen", hint="Freeze it first.")
        push = DatasetPush(
            org=dataset.org,
            dataset=dataset,
            repo_id=repo_id,
            is_private=is_private,
            created_by=actor,
        )
        return shared.submit(push, dataset.pushes.all())


def push_dataset(job: Job, lease: Lease) -> Publish:
    pushes = DatasetPush.objects.select_related("dataset__model", "dataset__run", "org")
    return shared.run(job, lease, pushes, _upload)


def settle_ended_push(job: Job) -> None:
    shared.settle_failed(DatasetPush.objects.all(), job)


def _upload(push: DatasetPush, work: Path) -> shared.Upload:
    dataset = push.dataset
    return shared.Upload(
        files=_files(dataset),
        digest=dataset.digest,
        message=f"{dataset.model.name}, dataset {dataset.number} ({dataset.digest[:12]})",
        kept={"digest": dataset.digest},
    )


def _files(dataset: DatasetVersion) -> dict[str, Path | bytes]:
    """Return the card and the frozen files, after a look that they are what was frozen."""
    folder = settings.ARTIFACTS_DIR / dataset.folder
    try:
        manifest = verify(folder)
    except ArtifactError as error:
        message = "The files of this dataset are not what was frozen, so they are not pushed."
        hint = "Its lineage page says which file differs. Build the model again."
        raise UserFacingError(message, code="files_changed", hint=hint) from error
    names = [entry["path"] for entry in manifest["files"] if entry["path"] != MANIFEST]
    return {**{name: folder / name for name in names}, CARD: card_text(dataset).encode()}
