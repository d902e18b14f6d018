"""Actions on a training run: save its plan, pause it, resume it, cancel it; and the one that ends
it, inside the transaction that ends its job. Runs are started in training.builds.
"""

from django.db import transaction
from django.db.models import Max

from accounts.audit import record
from accounts.models import User
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict
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


def pause_run(*, actor: User, run: TrainingRun) -> None:
    """Let its training write a checkpoint and stop; the worker is free for others."""
    with transaction.atomic():
        if not jobs.request_pause(run.job):
            refuse(run, "Only a run that waits or is at work can be paused", "not_pausable")
        record_action(actor, run, "run.pause")


def resume_run(*, actor: User, run: TrainingRun) -> None:
    """Let it go on from its last checkpoint."""
    with transaction.atomic():
        if not jobs.resume(run.job):
            refuse(run, "Only a paused run can be resumed", "not_paused")
        record_action(actor, run, "run.resume")


def cancel_run(*, actor: User, run: TrainingRun) -> None:
    with transaction.atomic():
        if not jobs.request_cancel(run.job):
            refuse(run, "Only a run that has not ended can be cancelled", "not_building")
        record_action(actor, run, "run.cancel")


def refuse(run: TrainingRun, rule: str, code: str) -> None:
    state = Job.objects.values_list("state", flat=True).get(id=run.job_id)
    raise Conflict(f"{rule}; this one is {state}.", code=code)


def record_action(actor: User, run: TrainingRun, action: str, **data: str) -> None:
    record(org=run.org, actor=actor, action=action, target=run, run=str(run.id), **data)


def finish_training(*, run: TrainingRun, folder: str, result: TrainingResult) -> None:
    """Make a draft version of its artifacts, and enqueue its evaluation with it."""
    newest: int | None = run.model.versions.aggregate(newest=Max("number"))["newest"]
    run.version = ModelVersion.objects.create(
        org=run.org,
        model=run.model,
        number=(newest or 0) + 1,
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
