"""Builds of models: create, copy, start, start again, cancel, delete. How one ends is in ends.py.

A build makes a dataset, trains on it and measures the result; each stage is a job of the model.
Whoever starts one comes through here, so that what could not be trained on this installation is
refused before anything is queued.
"""

import shutil
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.audit import record
from accounts.models import Organization, User
from distillation.curation import services as curation
from distillation.labelling.services import settle_ended_labelling
from distillation.model_data import own_rows
from distillation.model_data.own_rows import OwnRows
from distillation.model_data.services import use_source
from distillation.models import DatasetVersion, SourceDataset
from distillation.pipeline.understand.system_prompt import is_compiled
from models_app.bases.recommending import recommended
from models_app.contract.services import compiled, freeze_contract, new_contract
from models_app.drafts import DEFAULT_BASE, ModelDraft, check_intent_edits
from models_app.models import CustomModel, FoundationModel, ModelVersion
from models_app.services import edit_system_prompt, free_slug, lock_for_build, set_status
from models_app.understanding import check_confirmed, requirement_of
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from training.evaluations.services import dataset_of_version, submit_evaluation
from training.export.services import discard_exports_of
from training.models import EvaluationRun, TrainingRun
from training.plan.services import check_before_building, check_before_training, dataset_of
from training.recipes.config import Settings
from training.runs.services import record_action, refuse, save_plan

Status = CustomModel.Status
COPIED = (
    "requirement objective policy examples test_rows success_criteria metric system_prompt base"
    " rows student search_corpus doubtful_rows intent_edits curation training_config"
)

NAMED_IN_PROMPT = {"labels", "json_schema", "task_kind"}
DRAFT_FIELDS = ("name", "requirement", "objective", "policy", "examples")


# --- Create, copy, delete -------------------------------------------------------------------------


def create_model(
    *,
    actor: User | None,
    org: Organization,
    draft: ModelDraft,
    rows: Sequence[OwnRows] = (),
    sources: Sequence[SourceDataset] = (),
    confirmed: bool = True,
) -> CustomModel:
    """Create the model and queue its first build in one transaction. The build loads the `rows`
    that were brought with the requirement, and uses them and those of the `sources`.

    Unless `confirmed`, raise NeedsConfirmation where it is in doubt what is wanted.
    """
    base, reason = _base_of(draft)
    with transaction.atomic():
        model: CustomModel = CustomModel.objects.create(
            org=org,
            name=draft.name,
            slug=free_slug(org, draft.name),
            base=base,
            created_by=actor,
            built_by=actor,
            contract=new_contract(draft),
            **draft.fields(),
        )
        check_before_building(model)
        own_rows.attach(actor=actor, model=model, rows=rows)
        for source in sources:
            use_source(actor=actor, model=model, source=source)
        if not confirmed:
            check_confirmed(draft)
        chosen = {"base": base.name, "reason": reason}
        record(org=org, actor=actor, action="model.create", target=model, **chosen)
        jobs.submit(kind="distil", org=org, subject_id=model.id)
    return model


def create_model_of_file(
    *, actor: User, org: Organization, base: FoundationModel, name: str, rows: int, **fields: Any
) -> tuple[CustomModel, Job]:
    """Create a model whose dataset is a file of rows, and queue the job that freezes them."""
    model: CustomModel = CustomModel.objects.create(
        org=org,
        name=name[:80],
        slug=free_slug(org, name),
        base=base,
        rows=rows,
        created_by=actor,
        built_by=actor,
        **fields,
    )
    return model, jobs.submit(kind="freeze", org=org, subject_id=model.id)


def _base_of(draft: ModelDraft) -> tuple[FoundationModel, str]:
    """Return the requested base, else the recommended one that is installed; and why."""
    name, reason = draft.base, "as requested"
    if not name:
        advice = recommended(draft)
        name = advice.installed.name if advice.installed else DEFAULT_BASE
        reason = advice.reason if advice.is_installed else f"best installed; {advice.reason}"
    base = FoundationModel.objects.filter(name=name).first()
    if base is None or not base.is_installed:
        message = f"The base model “{name}” is not on this installation."
        hint = "Choose another, or fetch it on the page of bases."
        raise UserFacingError(message, param="base", hint=hint)
    served, most = base.served_bytes / 1e6, draft.max_size_mb
    if most is not None and served > most:
        message = f"{base} takes about {served:,.0f} MB when served, more than {most:,} MB."
        hint = "Choose a smaller base, or allow more."
        raise UserFacingError(message, code="base_too_large", param="base", hint=hint)
    return base, reason


def copy_model(*, actor: User, model: CustomModel) -> CustomModel:
    """Create a model of the same requirement, whose contract is open; nothing is built yet."""
    name = f"{model.name[:73]} (copy)"
    with transaction.atomic():
        copy: CustomModel = CustomModel(
            org=model.org,
            name=name,
            slug=free_slug(model.org, name),
            status=Status.DRAFT,
            created_by=actor,
            **{field: getattr(model, field) for field in COPIED.split()},
        )
        copy.contract = compiled(copy).to_json()
        copy.save()
        record(org=model.org, actor=actor, action="model.copy", target=copy, of=str(model.id))
    return copy


def edit_draft(*, actor: User, model: CustomModel, changes: dict[str, Any]) -> CustomModel:
    """Set the DRAFT_FIELDS given in `changes`. Refused once a version was made of them."""
    with transaction.atomic():
        model = lock_for_build(model.id)
        if model.versions.exists():
            message = "What a version was made from cannot change any more."
            hint = "Make a copy as a new model, and edit that."
            raise Conflict(message, code="has_version", hint=hint)
        kept = {name: getattr(model, name) for name in DRAFT_FIELDS}
        ModelDraft(**kept | changes, rows=model.rows)  # refuses what cannot be one
        for name, value in changes.items():
            setattr(model, name, value)
        if not model.contract_frozen_at:
            model.contract = compiled(model).to_json()
        model.save(update_fields=[*changes, "contract", "updated_at"])
        record(org=model.org, actor=actor, action="model.edit", target=model, fields=[*changes])
    return model


def delete_model(*, actor: User, model: CustomModel) -> None:
    """Delete the rows at once and the files after the commit. Work in progress is cancelled."""
    folder = settings.ARTIFACTS_DIR / str(model.id)
    with transaction.atomic():
        cancel_build(actor=actor, model=model)
        record(org=model.org, actor=actor, action="model.delete", target=model)
        discard_exports_of(model)
        _take_back_labelled(model)
        Job.objects.filter(subject_id=model.id).delete()
        model.delete()
        transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def _take_back_labelled(model: CustomModel) -> None:
    """End what a job of labelling is storing: the job goes, and nobody would settle it."""
    for job in Job.objects.filter(subject_id=model.id, kind="label", state=Job.State.RUNNING):
        job.state, job.error_text = Job.State.CANCELLED, "The model was deleted."
        settle_ended_labelling(job)


# --- Start, start again, cancel ------------------------------------------------------------------


def rebuild(*, actor: User, model: CustomModel) -> None:
    """Build again from the requirement: a new dataset, a new version."""
    with transaction.atomic():
        model = lock_for_build(model.id)
        own_rows.refuse_loading(model)
        check_before_building(model)
        set_status(model, Status.PENDING, built_by=actor)
        record(org=model.org, actor=actor, action="model.rebuild", target=model)
        jobs.submit(kind="distil", org=model.org, subject_id=model.id)


def correct_intent(
    *,
    actor: User,
    model: CustomModel,
    changes: dict[str, Any],
    system_prompt: str = "",
    build: bool = False,
) -> None:
    """Correct what was understood: the fields in `changes`, None for “as understood”; others stay.
    The next build uses it; `build` begins that at once.
    """
    with transaction.atomic():
        before = CustomModel.objects.select_for_update().get(id=model.id).intent_edits
        edits = {name: value for name, value in (before | changes).items() if value is not None}
        check_intent_edits(changes)
        check_intent_edits(edits, is_stored=True)  # what was corrected before, and the two together
        model.intent_edits = edits
        model.save(update_fields=["intent_edits", "updated_at"])
        changed = sorted(name for name in changes if before.get(name) != edits.get(name))
        action = "model.correct_intent"
        record(org=model.org, actor=actor, action=action, target=model, fields=changed)
        if NAMED_IN_PROMPT & set(changed) and is_compiled(
            model.system_prompt, requirement_of(model)
        ):
            CustomModel.objects.filter(id=model.id).update(system_prompt="")  # names the old ones
        if system_prompt:
            edit_system_prompt(actor=actor, model=model, system_prompt=system_prompt)
        if build:
            rebuild(actor=actor, model=model)


def freeze_and_train(*, actor: User, version: DatasetVersion) -> DatasetVersion:
    """Freeze a draft that was reviewed, and train on it."""

    def begin_training(draft: DatasetVersion) -> None:
        hint = "Cancel that build or let it end, then freeze the dataset."
        model = lock_for_build(draft.model_id, hint=hint)
        check_before_training(model)
        _train(model, actor)

    return curation.freeze(actor=actor, version=version, before_writing=begin_training)


def train_again(*, actor: User, model: CustomModel, requested: Settings) -> Job:
    """Train with these settings on the dataset that was frozen last, or refuse at once."""
    if dataset_of(model) is None:
        hint = "Freeze its draft, or build it; the settings can be saved for then."
        raise Conflict("This model has no frozen dataset yet.", code="no_dataset", hint=hint)
    with transaction.atomic():
        save_plan(actor=actor, model=model, requested=requested).refuse()
        record(org=model.org, actor=actor, action="model.start_training", target=model)
        return _train(lock_for_build(model.id), actor)


def _train(model: CustomModel, actor: User) -> Job:
    set_status(model, Status.TRAINING, built_by=actor)
    return jobs.submit(kind="train", org=model.org, subject_id=model.id)


def requeue_run(*, actor: User, run: TrainingRun) -> TrainingRun:
    """Create a run with the same settings, on the dataset that was frozen last."""
    if run.job.state not in (Job.State.FAILED, Job.State.CANCELLED):
        refuse(run, "Only a run that failed or was cancelled is queued again", "not_requeueable")
    with transaction.atomic():
        model = lock_for_build(run.model_id)
        set_status(model, Status.TRAINING, built_by=actor)
        again: TrainingRun = TrainingRun.objects.create(
            org=run.org,
            job=jobs.requeue(run.job),
            model=model,
            dataset_version=model.dataset_versions.frozen().first() or run.dataset_version,
            asked_config=run.asked_config,
        )
        record_action(actor, run, "run.requeue", new_run=str(again.id))
    return again


def evaluate_again(*, actor: User, version: ModelVersion) -> EvaluationRun:
    """Measure a version anew against the frozen contract, beside what is live now."""
    with transaction.atomic():
        if dataset_of_version(version) is None and not version.model.test_rows:
            message = "The held-out rows of this version are gone with its dataset."
            hint = "Build the model again."
            raise Conflict(message, code="no_dataset", hint=hint)
        version.model = lock_for_build(version.model_id)
        freeze_contract(version.model)
        set_status(version.model, Status.EVALUATING)
        run = submit_evaluation(version, is_again=True)
        record(org=version.org, actor=actor, action="version.evaluate", target=version)
    return run


def cancel_build(*, actor: User, model: CustomModel) -> bool:
    """Cancel the model's live jobs. Return False when nothing was running."""
    with transaction.atomic():
        live = list(Job.objects.filter(subject_id=model.id, state__in=Job.LIVE_STATES))
        for job in live:
            jobs.request_cancel(job)
        if live:
            record(org=model.org, actor=actor, action="model.cancel", target=model)
    return bool(live)
