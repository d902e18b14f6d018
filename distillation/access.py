"""The doors to datasets and sources, shared by pages and API."""

import uuid

from django.shortcuts import get_object_or_404

from accounts.models import Organization
from distillation.models import DatasetRow, DatasetVersion, SourceDataset


def dataset_for(org: Organization, dataset_id: uuid.UUID | str) -> DatasetVersion:
    found: DatasetVersion = get_object_or_404(
        DatasetVersion.objects.select_related("model", "run", "parent", "frozen_by"),
        org=org,
        id=dataset_id,
    )
    return found


def sibling_for(version: DatasetVersion, dataset_id: uuid.UUID | str) -> DatasetVersion:
    """Another version of the same model, to compare with."""
    found: DatasetVersion = get_object_or_404(
        DatasetVersion.objects.select_related("model", "run").exclude(id=version.id),
        model=version.model_id,
        id=dataset_id,
    )
    return found


def row_for(version: DatasetVersion, row_id: int) -> DatasetRow:
    return get_object_or_404(
        DatasetRow.objects.select_related("version__model", "version__run", "decided_by"),
        version=version,
        id=row_id,
    )


def source_for(org: Organization, source_id: uuid.UUID | str) -> SourceDataset:
    return get_object_or_404(SourceDataset.objects.visible_to(org), id=source_id)
