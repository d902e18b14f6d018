"""Accessors of runs and evaluations, shared by pages and API; and those of OpenAI's surface."""

import uuid

from django.conf import settings
from django.http import Http404
from django.shortcuts import get_object_or_404

from accounts.models import Organization
from distillation.models import DatasetVersion
from training.finetuning.builds import Build, builds, builds_of
from training.finetuning.ids import FILE, JOB, uuid_of
from training.models import EvaluationRun, Export, TrainingRun, UploadedFile


def training_run_for(org: Organization, run_id: uuid.UUID | str) -> TrainingRun:
    run: TrainingRun = get_object_or_404(
        TrainingRun.objects.select_related("job", "model", "dataset_version", "version"),
        org=org,
        id=run_id,
    )
    return run


def evaluation_for(org: Organization, evaluation_id: uuid.UUID | str) -> EvaluationRun:
    evaluation: EvaluationRun = get_object_or_404(
        EvaluationRun.objects.select_related("job", "model", "version__base", "version__model"),
        org=org,
        id=evaluation_id,
    )
    return evaluation


def export_for(org: Organization, export_id: uuid.UUID | str) -> Export:
    export: Export = get_object_or_404(
        Export.objects.select_related("job", "version__model", "org"), org=org, id=export_id
    )
    return export


def find_file(org: Organization, name: str) -> UploadedFile | None:
    """Return a file of /v1/files by its outside id, or the frozen rows of a dataset as one."""
    file_id = uuid_of(name, FILE)
    if file_id is None:
        return None
    file: UploadedFile | None = UploadedFile.objects.for_org(org).filter(id=file_id).first()
    return file or _dataset_as_file(org, file_id)


def file_for(org: Organization, name: str) -> UploadedFile:
    file = find_file(org, name)
    if file is None:
        raise Http404("There is no such file.")
    return file


def _dataset_as_file(org: Organization, dataset_id: uuid.UUID) -> UploadedFile | None:
    """Return what a build of the web app trained on; not saved: the dataset is what is kept."""
    dataset = DatasetVersion.objects.for_org(org).frozen().filter(id=dataset_id).first()
    if dataset is None:
        return None
    path = settings.ARTIFACTS_DIR / dataset.folder / "train.jsonl"
    return UploadedFile(
        id=dataset.id,
        org=org,
        created_at=dataset.created_at,
        purpose=UploadedFile.Purpose.FINE_TUNE,
        filename=f"dataset-{dataset.number}-train.jsonl",
        path=str(path),
        bytes=path.stat().st_size if path.is_file() else 0,
        status=UploadedFile.Status.PROCESSED,
        row_count=dataset.split_counts.get("train", 0),
    )


def build_for(org: Organization, name: str) -> Build:
    """Return a fine-tuning job by its outside id: 404 for what is not there, or is another's."""
    root_id = uuid_of(name, JOB)
    matches = builds(builds_of(org).filter(id=root_id)) if root_id else []
    if not matches:
        raise Http404("There is no such fine-tuning job.")
    return matches[0]
