"""The bridge between rows and the pipeline: a model's requirement in, a dataset version out: frozen
at once, or a draft that waits for a person, as the model's `curation` says.

Files are written under the job's attempt and rows in the transaction that ends the job, so that a
worker that lost its lease publishes nothing.
"""

from dataclasses import asdict

from django.conf import settings

from distillation.corpus.catalog import CorpusCatalog
from distillation.corrections import services as corrections
from distillation.curation import freezing
from distillation.curation import services as curation
from distillation.datasets.cards import facts_of_version
from distillation.datasets.coverage import coverage_of
from distillation.imports.reading.errors import ImportRefused
from distillation.limits import REASON_CHARS
from distillation.model_data import own_rows
from distillation.models import (
    CorpusExample,
    DatasetRow,
    DatasetVersion,
    DistillationRun,
    ModelSource,
    SourceDataset,
)
from distillation.organization.licensing import license_policy_of
from distillation.pipeline.corrections import CORRECTION
from distillation.pipeline.dataset_generator import DatasetGenerator
from distillation.pipeline.intent_facts import IntentFacts, routes_by_source
from distillation.pipeline.outcome import NotEnoughData, SelectedRow, Selection
from distillation.pipeline.types import Example, SelectionConfig
from distillation.pipeline.understand.intent import edits_from
from models_app import services as model_services
from models_app.models import CustomModel
from models_app.understanding import requirement_of
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job

ROWS_PER_INSERT = 1000
HOLD_SOURCES = f"""
    SELECT id FROM {SourceDataset._meta.db_table} WHERE id = ANY(%s::uuid[])
    ORDER BY id FOR KEY SHARE
"""
STAGE_NAMES = {
    "understand": "Understanding the requirement",
    "route": "Finding the sources that serve it",
    "retrieve": "Fetching their rows",
    "filter": "Refusing rows that do not fit, or that leak held-out rows",
    "select": "Choosing a balanced set",
    "split": "Splitting into train, valid and test",
}


def distil(job: Job, lease: Lease) -> Publish:
    model_services.begin_stage(job.subject_id, CustomModel.Status.DISTILLING)
    model = CustomModel.objects.select_related("org").get(id=job.subject_id)
    _load_own_rows(model, lease)
    config = selection_config(model)
    run, _ = DistillationRun.objects.get_or_create(
        job=job, defaults={"org": model.org, "model": model, "config": asdict(config)}
    )
    try:
        selection = _select(model, config, lease)
    except NotEnoughData as error:
        lease.check()
        _keep_what_was_found(run, error)
        raise UserFacingError(str(error), code="not_enough_data") from error
    routes = routes_by_source(selection.routes)
    run.intent = IntentFacts.of(
        selection.intent, routes, selection.gap, selection.doubtful_held_out
    ).to_json()
    run.funnel = [step.to_json() for step in selection.funnel]
    run.label_map = [asdict(mapping) for mapping in selection.label_map]
    version = _version(run, model, selection)
    rows = [_dataset_row(version, i, row) for i, row in enumerate(selection.rows)]
    _copy_provenance(rows)
    if unseen := coverage_of(version, [(row.split, row.answer) for row in rows]).sentence:
        lease.log(unseen)
    refused = dict(selection.refused_corrections)
    freezing.count(version, freezing.groups_of(rows))
    if not version.is_draft:
        version.number = curation.next_number(model.id)  # for its card; settled when published
        version.folder = f"{model.id}/datasets/{job.id}-{job.attempt}"
        freezing.seal(version, rows)
        freezing.write_files(version, rows, facts_of_version(version, rows))
    lease.check()
    return lambda: _publish(version, rows, refused)


def selection_config(model: CustomModel) -> SelectionConfig:
    """Test rows that the user brings come on top of the rows requested; a test split does not."""
    chosen = ModelSource.objects.filter(model=model).order_by("created_at")
    return SelectionConfig(
        rows=model.rows,
        license_policy=license_policy_of(model.org),
        use_sources=tuple(str(use.source_id) for use in chosen),
        search_corpus=model.search_corpus,
        doubtful_rows=model.doubtful_rows,
    )


def _keep_what_was_found(run: DistillationRun, error: NotEnoughData) -> None:
    """Store, of a run that fails, what the page needs that shows the way to more rows."""
    if error.intent:
        routes = routes_by_source(error.routes)
        run.intent = IntentFacts.of(error.intent, routes, error.gap).to_json()
    run.funnel = [step.to_json() for step in error.funnel]
    run.save(update_fields=["intent", "funnel"])


def _load_own_rows(model: CustomModel, lease: Lease) -> None:
    """Load the rows that were brought for this build. Their refusal is one for want of data."""
    try:
        own_rows.load_waiting(model, lease)
    except ImportRefused as error:
        raise UserFacingError(str(error), code="rows_refused") from error


def _select(model: CustomModel, config: SelectionConfig, lease: Lease) -> Selection:
    # Torch belongs to the worker: the web process imports this module's neighbours, never this.
    from modelstation.lm.answer_scoring import load_scorer
    from modelstation.lm.embedding import load_embedder

    scorer = load_scorer(settings.MODELS_DIR)
    generator = DatasetGenerator(CorpusCatalog(model.org), load_embedder(), scorer)
    held_out = [Example(row["input"], row["output"]) for row in model.test_rows]
    edits = edits_from(model.intent_edits, is_stored=True)
    corrected = corrections.accepted_corrections(model)

    def report(stage: str, done: int, total: int) -> None:
        lease.stage(stage, STAGE_NAMES[stage])
        lease.progress(step=done, total_steps=total)

    return generator.generate(requirement_of(model), config, held_out, report, edits, corrected)


def _version(run: DistillationRun, model: CustomModel, selection: Selection) -> DatasetVersion:
    """Return an unsaved version: a draft, or frozen at once where nobody reviews it."""
    is_reviewed = model.curation == CustomModel.Curation.REVIEW
    return DatasetVersion(
        org=run.org,
        model=model,
        run=run,
        state=DatasetVersion.State.DRAFT if is_reviewed else DatasetVersion.State.FROZEN,
        system_prompt=selection.intent.system_prompt,
    )


def _publish(version: DatasetVersion, rows: list[DatasetRow], refused: dict[str, str]) -> None:
    """Save all, in the transaction that ends the job; then train on it, or wait for review."""
    run, model = version.run, version.model
    run.save(update_fields=["intent", "funnel", "label_map"])
    version.number = curation.next_number(model.id)
    version.save()
    _unlink_deleted(rows)
    corrections.store_refusals(rows, refused)
    DatasetRow.objects.bulk_create(rows, batch_size=ROWS_PER_INSERT)
    if not model.system_prompt:
        CustomModel.objects.filter(id=model.id).update(system_prompt=version.system_prompt)
    if version.is_draft:
        model_services.begin_stage(model.id, CustomModel.Status.REVIEW)
    else:
        freezing.mark_used(version)
        jobs.submit(kind="train", org=run.org, subject_id=model.id)


def _copy_provenance(rows: list[DatasetRow]) -> None:
    ids = [row.example_id for row in rows if row.example_id]
    stated = CorpusExample.objects.filter(id__in=ids).exclude(provenance={})
    provenance = dict(stated.values_list("id", "provenance"))
    for row in rows:
        row.provenance = provenance.get(row.example_id or 0, {})


def _unlink_deleted(rows: list[DatasetRow]) -> None:
    """Unlink rows whose source was deleted since they were read: the dataset stays.

    Those that are there are held until the transaction ends, so that none goes meanwhile.
    """
    sources = sorted({str(row.source_id) for row in rows if row.source_id})
    list(SourceDataset.objects.raw(HOLD_SOURCES, [sources]))
    ids = [row.example_id for row in rows if row.example_id]
    present = set(CorpusExample.objects.filter(id__in=ids).values_list("id", flat=True))
    for row in rows:
        if row.example_id not in present:
            row.example_id = row.source_id = None


def _dataset_row(version: DatasetVersion, position: int, row: SelectedRow) -> DatasetRow:
    """Of a corpus row, or of a correction, which has no source and no corpus row."""
    is_correction = row.step == CORRECTION
    return DatasetRow(
        version=version,
        position=position,
        split=row.split,
        messages=list(row.messages),
        source_id=None if is_correction else row.candidate.source_id,
        source_name=row.candidate.source,
        task=row.candidate.task,
        license=row.candidate.license,
        content_hash=row.content_hash,
        corpus_hash="" if is_correction else row.candidate.content_hash,
        twin_group=row.twin_group,
        score=row.score,
        scores=row.scores,
        reason=row.reason[:REASON_CHARS],
        query=row.query[:REASON_CHARS],
        step=row.step,
        example_id=None if is_correction else int(row.candidate.id),
        candidate_id=row.candidate.id if is_correction else None,
    )
