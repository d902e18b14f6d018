"""Actions on a training run: save its plan, pause it, resume it, cancel it; and the one that ends
it, inside the transaction that ends its job. Runs are started in training.builds.
"""

from collections.abc import Callable
from typing import Literal

from django.db import transaction
from django.db.models import Max

from accounts.audit import record
from accounts.models import User
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from training.encoder.spec import Trained
from training.evaluations.services import submit_evaluation
from training.models import TrainingRun
from training.plan.services import Plan, dataset_of, plan_for
from training.recipes.config import Settings

LATER = ("not_enough_data", "not_enough_disk")
Action = Literal["pause", "resume", "cancel"]
# What is done with the job, what it needs, and the code of the refusal.
ACTIONS: dict[Action, tuple[Callable[[Job], bool], str, str]] = {
    "pause": (jobs.request_pause, "a run that waits or is at work can be paused", "not_pausable"),
    "resume": (jobs.resume, "a paused run can be resumed", "not_paused"),
    "cancel": (jobs.request_cancel, "a run that has not ended can be cancelled", "not_building"),
}


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


def act(action: Action, *, actor: User, run: TrainingRun) -> None:
    """Cancel it; pause it with a checkpoint, which frees the worker; or resume it from there."""
    act_on_job, rule, code = ACTIONS[action]
    with transaction.atomic():
        if not act_on_job(run.job):
            refuse(run, f"Only {rule}", code)
        record_action(actor, run, f"run.{action}")


def refuse(run: TrainingRun, rule: str, code: str) -> None:
    state = Job.objects.values_list("state", flat=True).get(id=run.job_id)
    raise Conflict(f"{rule}; this one is {state}.", code=code)


def record_action(actor: User, run: TrainingRun, action: str, **data: str) -> None:
    record(org=run.org, actor=actor, action=action, target=run, run=str(run.id), **data)


def finish_training(*, run: TrainingRun, folder: str, result: Trained) -> None:
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
        config=result.config,
    )
    run.resolved_config, run.facts = result.config, result.facts
    run.save(update_fields=["version", "resolved_config", "facts"])
    submit_evaluation(run.version)
