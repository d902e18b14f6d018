"""The doors to runs and evaluations, shared by pages and API."""

import uuid

from django.shortcuts import get_object_or_404

from accounts.models import Organization
from training.models import EvaluationRun, TrainingRun


def training_run_for(org: Organization, run_id: uuid.UUID | str) -> TrainingRun:
    found: TrainingRun = get_object_or_404(
        TrainingRun.objects.select_related("job", "model", "dataset_version", "version"),
        org=org,
        id=run_id,
    )
    return found


def evaluation_for(org: Organization, evaluation_id: uuid.UUID | str) -> EvaluationRun:
    found: EvaluationRun = get_object_or_404(
        EvaluationRun.objects.select_related("job", "model", "version__base", "version__model"),
        org=org,
        id=evaluation_id,
    )
    return found
