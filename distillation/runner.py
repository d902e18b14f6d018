"""The bridge between rows and the pipeline: a model's requirement in, a frozen dataset version out.

Files are written under the job's attempt and rows in the transaction that ends the job, so that a
worker that lost its lease publishes nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from accounts.models import Organization
from distillation.index import CorpusCatalog
from distillation.intents import facts_of, requirement_of
from distillation.models import CorpusExample, DatasetRow, DatasetVersion, DistillationRun
from distillation.pipeline import export
from distillation.pipeline.dataset_generator import DatasetGenerator
from distillation.pipeline.intent import edits_from
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.types import (
    Example,
    FunnelStep,
    NotEnoughData,
    OnProgress,
    RoutedGroup,
    SelectedRow,
    Selection,
    SelectionConfig,
)
from models_app import services as model_services
from models_app.models import CustomModel
from modelstation.core import jobs
from modelstation.core.artifacts import write_artifact
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import Publish
from modelstation.core.lease import Lease
from modelstation.core.models import Job

ROWS_PER_INSERT = 1000
SHOWN_ROUTES = 20
STAGE_NAMES = {
    "understand": "Understanding the requirement",
    "route": "Finding the sources that serve it",
    "retrieve": "Fetching their rows",
    "filter": "Refusing rows that do not fit, or that leak held-out rows",
    "select": "Choosing a balanced set",
    "split": "Splitting into train, valid and test",
}


def distil(job: Job, lease: Lease) -> Publish:
    model = CustomModel.objects.select_related("org").get(id=job.subject_id)
    config = selection_config(model)
    run, _ = DistillationRun.objects.get_or_create(
        job=job, defaults={"org": model.org, "model": model, "config": asdict(config)}
    )
    model_services.begin_stage(model.id, CustomModel.Status.DISTILLING)
    selection = _select(model, config, lease)
    folder = f"{model.id}/datasets/{job.id}-{job.attempt}"
    write_artifact(
        settings.ARTIFACTS_DIR / folder,
        lambda target: export.write_dataset(target, selection),
        kind="dataset",
        facts=export.dataset_facts(selection),
    )
    lease.check()
    return lambda: _publish(run, selection, folder)


def selection_config(model: CustomModel) -> SelectionConfig:
    """Test rows that the user brings come on top of the rows asked for; a test split does not."""
    return SelectionConfig(rows=model.rows, license_policy=license_policy_of(model.org))


def license_policy_of(org: Organization) -> LicensePolicy:
    return LicensePolicy()


def _select(model: CustomModel, config: SelectionConfig, lease: Lease) -> Selection:
    # Torch belongs to the worker: the web process imports this module's neighbours, never this.
    from modelstation.lm.embedding import load_embedder

    generator = DatasetGenerator(CorpusCatalog(model.org), load_embedder())
    held_out = [Example(row["input"], row["output"]) for row in model.test_rows]
    edits = edits_from(model.intent_edits)
    try:
        return generator.generate(requirement_of(model), config, held_out, _teller(lease), edits)
    except NotEnoughData as error:
        raise UserFacingError(str(error), code="not_enough_data") from error


def _teller(lease: Lease) -> OnProgress:
    def tell(stage: str, done: int, total: int) -> None:
        lease.stage(stage, STAGE_NAMES[stage])
        lease.progress(step=done, total_steps=total)

    return tell


def _publish(run: DistillationRun, selection: Selection, folder: str) -> None:
    """In the transaction that ends the job: the frozen version, and the job to train on it."""
    run.intent = _intent_facts(selection)
    run.funnel = [funnel_entry(step) for step in selection.funnel]
    run.label_map = [asdict(mapping) for mapping in selection.label_map]
    run.save(update_fields=["intent", "funnel", "label_map"])
    facts = export.dataset_facts(selection)
    version = DatasetVersion.objects.create(
        org=run.org,
        model=run.model,
        run=run,
        number=_next_number(run.model),
        frozen_at=timezone.now(),
        digest=selection.digest,
        system_prompt=selection.intent.system_prompt,
        row_count=len(selection.rows),
        split_counts=facts["splits"],
        source_counts=selection.sources,
        license_counts=facts["licenses"],
        folder=folder,
    )
    present = _still_present(selection)
    rows = [_dataset_row(version, i, row, present) for i, row in enumerate(selection.rows)]
    DatasetRow.objects.bulk_create(rows, batch_size=ROWS_PER_INSERT)
    if not run.model.system_prompt:
        CustomModel.objects.filter(id=run.model_id).update(
            system_prompt=selection.intent.system_prompt
        )
    jobs.submit(kind="train", org=run.org, subject_id=run.model_id)


def _intent_facts(selection: Selection) -> dict[str, Any]:
    routes = [route_entry(routed) for routed in selection.routes[:SHOWN_ROUTES]]
    return facts_of(selection.intent) | {"sources": routes}


def route_entry(routed: RoutedGroup) -> dict[str, Any]:
    return {
        "source": routed.group.source,
        "task": routed.group.task,
        "rows": routed.group.rows,
        "score": round(routed.score, 3),
        "description_match": round(routed.description_match, 3),
        "topic_match": round(routed.topic_match, 3),
        "form_match": round(routed.form_match, 3),
        "chosen": routed.chosen,
    }


def funnel_entry(step: FunnelStep) -> dict[str, Any]:
    return {
        "filter": step.name,
        "refused": step.refused,
        "kept": step.kept,
        "examples": list(step.examples),
    }


def _still_present(selection: Selection) -> set[int]:
    """A source may have been deleted since its rows were read: the dataset stays, unlinked."""
    ids = [int(row.candidate.id) for row in selection.rows]
    return set(CorpusExample.objects.filter(id__in=ids).values_list("id", flat=True))


def _dataset_row(
    version: DatasetVersion, position: int, row: SelectedRow, present: set[int]
) -> DatasetRow:
    example_id = int(row.candidate.id)
    return DatasetRow(
        version=version,
        position=position,
        split=row.split,
        messages=list(row.messages),
        source_id=row.candidate.source_id if example_id in present else None,
        source_name=row.candidate.source,
        task=row.candidate.task,
        license=row.candidate.license,
        content_hash=row.content_hash,
        corpus_hash=row.candidate.content_hash,
        twin_group=row.twin_group,
        score=row.score,
        scores=row.scores,
        reason=row.reason[:300],
        query=row.query[:300],
        step=row.step,
        example_id=example_id if example_id in present else None,
    )


def _next_number(model: CustomModel) -> int:
    newest: int | None = model.dataset_versions.aggregate(newest=Max("number"))["newest"]
    return (newest or 0) + 1
