"""Delete a source, knowing who used it. Datasets that were made of it stay as they are.

Its rows may be hundreds of thousands: they are deleted in the database and never read.
"""

import logging
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Count

from accounts.audit import record
from accounts.models import Organization, User
from distillation.models import CorpusExample, DatasetRow, DatasetVersion, ImportRun, SourceDataset
from models_app.models import ModelVersion
from modelstation.core.errors import Busy
from modelstation.core.models import Job

logger = logging.getLogger("modelstation.sources")

_ROWS, _EXAMPLES = DatasetRow._meta.db_table, CorpusExample._meta.db_table
_UNLINK = f"UPDATE {_ROWS} SET source_id = NULL, example_id = NULL WHERE source_id = %s"
# Rows made before they knew their source point at its examples alone.
_UNLINK_EXAMPLES = f"""
    UPDATE {_ROWS} SET example_id = NULL
    WHERE example_id IN (SELECT id FROM {_EXAMPLES} WHERE source_id = %s)
"""
_DELETE_EXAMPLES = f"DELETE FROM {_EXAMPLES} WHERE source_id = %s"


class UsingDataset(NamedTuple):
    dataset: DatasetVersion
    rows: int


@dataclass(frozen=True)
class SourceUse:
    """Datasets with rows of a source, each with how many, and the versions trained on them."""

    datasets: list[UsingDataset]
    versions: list[ModelVersion]

    @property
    def organizations(self) -> set[Organization]:
        return {dataset.org for dataset, _ in self.datasets}

    @property
    def summary(self) -> str:
        datasets, versions = len(self.datasets), len(self.versions)
        if not datasets:
            return "No dataset holds a row of it."
        return (
            f"{datasets} dataset{'s' * (datasets > 1)} and {versions} model "
            f"version{'s' * (versions != 1)} were made with it."
        )


def use_of(source: SourceDataset) -> SourceUse:
    """Three queries, however many rows."""
    counted = DatasetRow.objects.filter(source=source).order_by().values_list("version")
    rows = dict(counted.annotate(rows=Count("id")))
    datasets = DatasetVersion.objects.filter(id__in=list(rows)).select_related("model", "org")
    ordered = sorted(datasets, key=lambda dataset: (dataset.model.name, dataset.number))
    versions = ModelVersion.objects.filter(
        model__in={dataset.model_id for dataset in ordered},
        dataset_digest__in={dataset.digest for dataset in ordered if dataset.digest},
    )
    return SourceUse(
        datasets=[UsingDataset(dataset, rows[dataset.id]) for dataset in ordered],
        versions=list(versions.select_related("model").order_by("model__name", "number")),
    )


def delete_source(*, actor: User, source: SourceDataset) -> SourceUse:
    """Its rows and itself. What used it keeps its rows, unlinked, and is named in the audit."""
    with transaction.atomic():
        # Until the end, no dataset that is just being made can point at it (see runner).
        source = SourceDataset.objects.select_for_update().get(pk=source.pk)
        running = ImportRun.objects.filter(
            org=source.org, state=ImportRun.State.RUNNING, job__state__in=Job.LIVE_STATES
        )
        if source.state == SourceDataset.State.LOADING and running.exists():
            message = f"“{source.name}” is being loaded just now."
            hint = "Wait until its import has ended, or cancel the import."
            raise Busy(message, code="still_running", hint=hint)
        use = use_of(source)
        with connection.cursor() as cursor:
            for statement in (_UNLINK, _UNLINK_EXAMPLES, _DELETE_EXAMPLES):
                cursor.execute(statement, [source.pk])
        _record_deletion(actor, source, use)
        source.delete()
    return use


def _record_deletion(actor: User, source: SourceDataset, use: SourceUse) -> None:
    """In the audit of its owner, and of each organisation whose datasets used it."""
    owner = {source.org} if source.org else set()
    for org in owner | use.organizations:
        record(
            org=org,
            actor=actor,
            action="source.delete",
            target=source,
            rows=source.row_count,
            license=source.license,
            datasets=[str(dataset.pk) for dataset, _ in use.datasets if dataset.org_id == org.pk],
        )
    logger.info("source %s (%s) deleted by user %s", source.name, source.pk, actor.pk)
