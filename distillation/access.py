"""The doors to datasets and sources, shared by pages and API."""

import uuid

from django.http import Http404
from django.shortcuts import get_object_or_404

from accounts.models import Organization
from distillation.models import DatasetVersion, DistillationRun, SourceDataset
from models_app.models import CustomModel


def dataset_for(org: Organization, dataset_id: uuid.UUID | str) -> DatasetVersion:
    found: DatasetVersion = get_object_or_404(
        DatasetVersion.objects.select_related("model", "run"), org=org, id=dataset_id
    )
    return found


def labelled_run_for(model: CustomModel) -> DistillationRun:
    """The newest run of a model that mapped labels."""
    found: DistillationRun | None = model.distillation_runs.exclude(label_map=[]).first()
    if found is None:
        raise Http404("No labels were mapped for this model.")
    return found


def source_for(org: Organization, source_id: uuid.UUID | str) -> SourceDataset:
    return get_object_or_404(SourceDataset.objects.visible_to(org), id=source_id)
