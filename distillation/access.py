"""Accessors of datasets, sources and imports, shared by pages and API."""

import uuid

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import get_object_or_404

from accounts.models import Organization
from distillation.models import (
    CandidateRow,
    DatasetRow,
    DatasetVersion,
    DistillationRun,
    ImportRun,
    ModelInput,
    SourceDataset,
    Teacher,
    TeacherRun,
)
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict


def dataset_for(org: Organization, dataset_id: uuid.UUID | str) -> DatasetVersion:
    result: DatasetVersion = get_object_or_404(
        DatasetVersion.objects.select_related("model", "run", "parent", "frozen_by"),
        org=org,
        id=dataset_id,
    )
    return result


def sibling_for(version: DatasetVersion, dataset_id: uuid.UUID | str) -> DatasetVersion:
    result: DatasetVersion = get_object_or_404(
        DatasetVersion.objects.select_related("model", "run").exclude(id=version.id),
        model=version.model_id,
        id=dataset_id,
    )
    return result


def row_for(version: DatasetVersion, row_id: int) -> DatasetRow:
    return get_object_or_404(
        DatasetRow.objects.select_related("version__model", "version__run", "decided_by"),
        version=version,
        id=row_id,
    )


def labelled_run_for(model: CustomModel) -> DistillationRun:
    """Return the newest run of a model that mapped labels."""
    result: DistillationRun | None = model.distillation_runs.exclude(label_map=[]).first()
    if result is None:
        raise Http404("No labels were mapped for this model.")
    return result


def source_for(org: Organization, source_id: uuid.UUID | str) -> SourceDataset:
    return get_object_or_404(SourceDataset.objects.visible_to(org), id=source_id)


def own_source_for(org: Organization, source_id: uuid.UUID | str) -> SourceDataset:
    """One that the organisation may change: its own. A public one is the operator's."""
    source = source_for(org, source_id)
    if source.org_id is None:
        raise PermissionDenied("A public source belongs to the operator of this installation.")
    return source


def import_for(org: Organization, import_id: uuid.UUID | str) -> ImportRun:
    """Return an upload of the organisation's own: what the operator seeds has no page."""
    return get_object_or_404(ImportRun.objects.select_related("org", "job"), org=org, id=import_id)


def correction_for(model: CustomModel, correction_id: uuid.UUID | str) -> CandidateRow:
    result: CandidateRow = get_object_or_404(
        CandidateRow.objects.select_related("model", "org", "version", "dataset", "created_by"),
        model=model,
        id=correction_id,
    )
    return result


def input_for(model: CustomModel, input_id: uuid.UUID | str) -> ModelInput:
    """Return an input that people brought; what the head begins with is nobody's to answer."""
    result: ModelInput = get_object_or_404(
        ModelInput.objects.inputs().select_related("model__org", "answered_by"),
        model=model,
        id=input_id,
    )
    return result


def answering_version(model: CustomModel, number: int | None = None) -> ModelVersion:
    """Return the version of that number; without one the live version, else the newest."""
    versions = model.versions.select_related("model", "org")
    wanted = {"id": model.live_version_id} if model.live_version_id else {}
    result: ModelVersion | None = versions.filter(
        **({"number": number} if number else wanted)
    ).first()
    if result is None:
        name = f"version {number}" if number else "version yet"
        raise Conflict(f"This model has no {name}.", code="no_version", param="version")
    return result


def teacher_for(org: Organization, teacher_id: uuid.UUID | str) -> Teacher:
    """One of its own, or one that the operator lends to all."""
    teachers = Teacher.objects.visible_to(org).select_related("base")
    return get_object_or_404(teachers, id=teacher_id)


def own_teacher_for(org: Organization, teacher_id: uuid.UUID | str) -> Teacher:
    """One that the organisation may change."""
    teacher = teacher_for(org, teacher_id)
    if teacher.org_id is None:
        raise PermissionDenied("This teacher belongs to the operator of this installation.")
    return teacher


def teacher_run_for(model: CustomModel, run_id: uuid.UUID | str) -> TeacherRun:
    result: TeacherRun = get_object_or_404(
        TeacherRun.objects.select_related("job", "source", "teacher", "created_by", "model", "org"),
        model=model,
        id=run_id,
    )
    return result
