"""What an organisation leaves behind when it is deleted: rows by the hundred thousand; files."""

import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from accounts.models import Organization
from distillation.models import CorpusExample, DatasetRow, DatasetVersion, SourceDataset
from models_app.models import CustomModel
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgQuerySet
from training.models import Export

_DELETE = "DELETE FROM {rows} WHERE {key} IN (SELECT id FROM {owners} WHERE org_id = %s)"
# Rows of datasets first: they point at those of sources.
_TOO_MANY_TO_READ: list[tuple[Any, str, Any]] = [
    (DatasetRow, "version_id", DatasetVersion),
    (CorpusExample, "source_id", SourceDataset),
]


def take_away(org: Organization) -> list[Path]:
    """Called in the transaction that deletes it, before its other rows go. The folders of its
    files, for after the commit.
    """
    folders = folders_of(org)
    with connection.cursor() as cursor:
        for rows, key, owners in _TOO_MANY_TO_READ:
            tables = {"rows": rows._meta.db_table, "owners": owners._meta.db_table}
            cursor.execute(_DELETE.format(key=key, **tables), [org.pk])
    return folders


def folders_of(org: Organization) -> list[Path]:
    """Files lie under the id of what they belong to: a model, an export; those that were uploaded
    under the organisation's.
    """
    subjects = _ids(CustomModel.objects.for_org(org)) | _ids(Export.objects.for_org(org))
    subjects |= _ids(Job.objects.for_org(org), "subject_id")
    artifacts = [Path(settings.ARTIFACTS_DIR) / str(subject) for subject in subjects]
    return [*artifacts, Path(settings.UPLOADS_DIR) / str(org.pk)]


def _ids(rows: OrgQuerySet, name: str = "id") -> set[uuid.UUID]:
    return set(rows.values_list(name, flat=True))
