"""Actions on training runs: start one by its plan, pause it, resume it, cancel it, queue it again;
and the one that ends it, inside the transaction that ends its job.
"""

from django.db import transaction
from django.db.models import Max

from accounts.audit import record
from accounts.models import User
from models_app import services as model_services
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from training.evaluations.services import submit_evaluation
from training.models import TrainingRun
from training.plan.services import Plan, dataset_of, plan_for
from training.recipes.config import Settings
from training.runs.spec import TrainingResult

LATER = ("not_enough_data", "not_enough_disk")


def save_plan(*, actor: User, model: CustomModel, requested: Settings) -> Plan:
    """Save the settings of the next build. Refused when it could not be run on any rows; how many
    there will be, and how much of the disk is free, is seen then.
    """
    plan = plan_for(model, requested, dataset=dataset_of(model))
    plan.refuse(but=LATER)
    with transaction.atomic():
        model.training_config = requested
        model.save(update_fields=["training_config", "updated_at"])
        record(
            org=model.org, actor=actor, action="model.plan_training", target=model, config=requested
        )
    return plan


def start_run(*, actor: User, model: CustomModel, requested: Settings) -> Job:
    """Train again on the dataset that was frozen last; nothing is queued that cannot be done."""
    if dataset_of(model) is None:
        raise UserFacingError(
            "This model has no frozen dataset yet.",
            code="no_dataset",
            hint="Freeze its draft, or build it; the settings can be saved for then.",
        )
    with transaction.atomic():
        save_plan(actor=actor, model=model, requested=requested).refuse()
        record(org=model.org, actor=actor, action="model.start_training", target=model)
        return model_services.start_training(model_id=model.id, actor=actor, is_checked=True)


def pause_run(*, actor: User, run: TrainingRun) -> None:
    """Let its training write a checkpoint and stop; the worker is free for others."""
    with transaction.atomic():
        if not jobs.request_pause(run.job):
            _refuse(run, "Only a run that waits or is at work can be paused", "not_pausable")
        _record(actor, run, "run.pause")


def resume_run(*, actor: User, run: TrainingRun) -> None:
    """Let it go on from its last checkpoint."""
    with transaction.atomic():
        if not jobs.resume(run.job):
            _refuse(run, "Only a paused run can be resumed", "not_paused")
        _record(actor, run, "run.resume")


def cancel_run(*, actor: User, run: TrainingRun) -> None:
    with transaction.atomic():
        if not jobs.request_cancel(run.job):
            _refuse(run, "Only a run that has not ended can be cancelled", "not_building")
        _record(actor, run, "run.cancel")


def requeue_run(*, actor: User, run: TrainingRun) -> TrainingRun:
    """Return a new run with the same settings, on the dataset that was frozen last."""
    if run.job.state not in (Job.State.FAILED, Job.State.CANCELLED):
        _refuse(run, "Only a run that failed or was cancelled is queued again", "not_requeueable")
    with transaction.atomic():
        model = model_services.begin_training_again(actor=actor, model_id=run.model_id)
        again: TrainingRun = TrainingRun.objects.create(
            org=run.org,
            job=jobs.requeue(run.job),
            model=model,
            dataset_version=model.dataset_versions.frozen().first() or run.dataset_version,
            asked_config=run.asked_config,
        )
        _record(actor, run, "run.requeue", new_run=str(again.id))
    return again


def _refuse(run: TrainingRun, rule: str, code: str) -> None:
    state = Job.objects.values_list("state", flat=True).get(id=run.job_id)
    raise UserFacingError(f"{rule}; this one is {state}.", code=code)


def _record(actor: User, run: TrainingRun, action: str, **data: str) -> None:
    record(org=run.org, actor=actor, action=action, target=run, run=str(run.id), **data)


def finish_training(*, run: TrainingRun, folder: str, result: TrainingResult) -> None:
    """Make a draft version of its artifacts, and enqueue its evaluation with it."""
    run.version = ModelVersion.objects.create(
        org=run.org,
        model=run.model,
        number=_next_number(run.model),
        base_id=run.model.base_id,
        system_prompt=run.dataset_version.system_prompt,
        dataset_digest=run.dataset_version.digest,
        folder=folder,
        artifacts=result.artifacts,
        config=result.config.to_json(),
    )
    run.resolved_config, run.facts = result.config.to_json(), result.facts.to_json()
    run.save(update_fields=["version", "resolved_config", "facts"])
    submit_evaluation(run.version)


def _next_number(model: CustomModel) -> int:
    newest: int | None = model.versions.aggregate(newest=Max("number"))["newest"]
    return (newest or 0) + 1
