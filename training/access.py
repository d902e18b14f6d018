"""The doors to runs and evaluations, shared by pages and API."""

import uuid

from django.shortcuts import get_object_or_404

from accounts.models import Organization
from training.models import EvaluationRun, Export, TrainingRun


def training_run_for(org: Organization, run_id: uuid.UUID | str) -> TrainingRun:
    found: TrainingRun = get_object_or_404(
        TrainingRun.objects.select_related("job", "model", "dataset_version", "version"),
        org=org,
        id=run_id,
    )
    return found


def evaluation_for(org: Organization, evaluation_id: uuid.UUID | str) -> EvaluationRun:
    found: EvaluationRun = get_object_or_404(
        EvaluationRun.objects.select_related("job", "model", "version"), org=org, id=evaluation_id
    )
    return found


def export_for(org: Organization, export_id: uuid.UUID | str) -> Export:
    found: Export = get_object_or_404(
        Export.objects.select_related("job", "version__model", "org"), org=org, id=export_id
    )
    return found
