"""Delete an organisation: its rows, hundreds of thousands of some, and its files."""

import logging
import shutil
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from accounts.models import Organization, User
from accounts.services import locked_org
from distillation.models import CorpusExample, DatasetRow, DatasetVersion, SourceDataset
from models_app.models import CustomModel
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgQuerySet
from training.models import Export

logger = logging.getLogger("modelstation.accounts")
_DELETE = "DELETE FROM {rows} WHERE {key} IN (SELECT id FROM {owners} WHERE org_id = %s)"
# Rows of datasets first: they point at those of sources.
_TOO_MANY_TO_READ: list[tuple[Any, str, Any]] = [
    (DatasetRow, "version_id", DatasetVersion),
    (CorpusExample, "source_id", SourceDataset),
]


def delete_organization(*, actor: User, org: Organization) -> None:
    """Delete it with all that is its own; its files go after the commit. A job at work is lost at
    its next heartbeat, and what it wrote until then goes as it ends (see core.jobs.attempts).
    """
    with transaction.atomic():
        org = locked_org(org)  # nothing can be added to it from here on
        folders = folders_of(org)
        _delete_large_tables(org)
        # Its audit goes with it: this stays in the operator's log.
        logger.warning("organisation %s (%s) deleted by user %s", org.slug, org.pk, actor.pk)
        org.delete()
        for folder in folders:
            transaction.on_commit(partial(shutil.rmtree, folder, ignore_errors=True))


def _delete_large_tables(org: Organization) -> None:
    with connection.cursor() as cursor:
        for rows, key, owners in _TOO_MANY_TO_READ:
            tables = {"rows": rows._meta.db_table, "owners": owners._meta.db_table}
            cursor.execute(_DELETE.format(key=key, **tables), [org.pk])


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
