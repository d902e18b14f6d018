"""Files, fine-tuning jobs, events and checkpoints as OpenAI's clients read them. What we know
beyond their fields stands under `modelstation`.
"""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from modelstation.core.models import JobEvent
from training.finetuning.builds import Build, Checkpoint
from training.finetuning.ids import checkpoint_name_of, event_name_of, file_name_of, job_name_of
from training.finetuning.jobs import Hyperparameters
from training.models import EvaluationRun, UploadedFile
from training.plan.estimate.estimates import RunPlan
from training.progress import Figures

HYPERPARAMETERS = ("n_epochs", "batch_size", "learning_rate_multiplier")
LEVELS = {JobEvent.Kind.ERROR: "error"}
METRICS = {
    "step": "step",
    "total_steps": "total_steps",
    "loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_accuracy": "valid_mean_token_accuracy",
    "learning_rate": "learning_rate",
    "tokens": "trained_tokens",
}


def seconds_of(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at else None


# --- files ----------------------------------------------------------------------------------------


def file_shape(file: UploadedFile, *, whole: bool = True) -> dict[str, Any]:
    """`whole`: with every problem that is kept; a list says only how many there are."""
    more = {"sha256": file.sha256, "rows": file.row_count, "problem_count": file.problem_count}
    if whole:
        more |= {"problems": file.problems, "notes": file.notes}
    return {
        "id": file_name_of(file.id),
        "object": "file",
        "bytes": file.bytes,
        "created_at": seconds_of(file.created_at),
        "expires_at": None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.status,
        "status_details": file.status_details or None,
        "modelstation": more,
    }


# --- jobs -----------------------------------------------------------------------------------------


def job_shape(build: Build) -> dict[str, Any]:
    request, run = build.request, build.run
    hyperparameters = hyperparameters_of(build)
    # Of a build from the web app the frozen rows, which can be read as a file too.
    of_run = run.dataset_version_id if run else None
    rows = request.training_file if request else of_run
    seed = request.seed if request else int(build.model.training_config.get("seed", 0))
    code, message, param = build.failure or ("", "", None)
    return {
        "id": job_name_of(build.root.id),
        "object": "fine_tuning.job",
        "created_at": seconds_of(build.root.created_at),
        "finished_at": seconds_of(build.finished_at),
        "estimated_finish": seconds_of(_estimated_finish(build)),
        "model": build.model.base_id,
        "fine_tuned_model": build.tuned_name,
        "organization_id": build.model.org.slug,
        "status": build.status,
        "training_file": file_name_of(rows) or None,
        "validation_file": file_name_of(request.validation_file) or None if request else None,
        "result_files": [file_name_of(run.results.id)] if run and hasattr(run, "results") else [],
        "trained_tokens": run.facts.get("train_tokens") if run and build.is_over else None,
        "hyperparameters": hyperparameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "seed": seed,
        "integrations": [],
        "metadata": request.metadata if request else {},
        "user_provided_suffix": request.suffix or None if request else None,
        "error": {"code": code, "message": message, "param": param} if code else None,
        "modelstation": _more(build),
    }


def hyperparameters_of(build: Build) -> Hyperparameters:
    """As requested; once the run's plan is settled, as it runs: numbers."""
    requested = build.request.hyperparameters if build.request else {}
    run = build.run
    plan = RunPlan.from_json(run.plan if run else {})
    known: Hyperparameters = dict.fromkeys(HYPERPARAMETERS, "auto")
    epochs = float((run.resolved_config or plan.config).get("epochs") or 0) if run else 0
    if run and plan.steps and epochs:
        rows = run.dataset_version.split_counts.get("train", 0)
        known = {
            "n_epochs": max(1, round(epochs)),
            "batch_size": max(1, round(rows * epochs / plan.steps)),
            "learning_rate_multiplier": 1.0,
        }
    return known | {name: value for name, value in requested.items() if value != "auto"}


def _estimated_finish(build: Build) -> datetime | None:
    """While it trains; what evaluating takes comes on top, and is not known."""
    left = build.last.progress.get("eta_seconds") if build.last.state == "running" else None
    return timezone.now() + timedelta(seconds=left) if left is not None else None


def _more(build: Build) -> dict[str, Any]:
    run, last = build.run, build.last
    return {
        "stage": build.stage,
        "progress": last.progress if last.is_live else {},
        "model_id": str(build.model.id),
        "model": build.model.slug,
        "run_id": str(run.id) if run else None,
        "dataset_id": str(run.dataset_version_id) if run else None,
        "version_id": str(run.version_id) if run and run.version_id else None,
        "splits": run.dataset_version.split_counts if run else {},
        "config": run.resolved_config if run else {},
        "evaluation": _evaluation(build.evaluation) if build.evaluation else None,
    }


def _evaluation(evaluation: EvaluationRun) -> dict[str, Any]:
    return {
        "id": str(evaluation.id),
        "verdict": evaluation.verdict or None,
        "metric": evaluation.metric,
        "test_rows": evaluation.test_count,
        "criteria": [criterion.get("sentence", "") for criterion in evaluation.criteria],
        "scores": {
            score.subject: {"score": score.score, "low": score.low, "high": score.high}
            for score in evaluation.scores.all()
        },
    }


# --- events and checkpoints -----------------------------------------------------------------------


def event_shape(event: JobEvent) -> dict[str, Any]:
    is_metrics, data = event.kind == JobEvent.Kind.METRICS, event.data
    if is_metrics:
        named = ((theirs, data.get(ours)) for ours, theirs in METRICS.items())
        data = {theirs: figure for theirs, figure in named if figure is not None}
    return {
        "id": event_name_of(event.id),
        "object": "fine_tuning.job.event",
        "created_at": seconds_of(event.at),
        "level": LEVELS.get(JobEvent.Kind(event.kind), "info"),
        "message": _step_message(event.data) if is_metrics else event.message,
        "type": "metrics" if is_metrics else "message",
        "data": data,
        "modelstation": {"kind": event.kind},
    }


def _step_message(data: Figures) -> str:
    message = f"Step {data.get('step')}/{data.get('total_steps')}"
    if data.get("loss") is not None:
        message += f": training loss={data['loss']:.3f}"
    if data.get("valid_loss") is not None:
        message += f", validation loss={data['valid_loss']:.3f}"
    return message


def checkpoint_shape(build: Build, checkpoint: Checkpoint) -> dict[str, Any]:
    assert build.run is not None  # a checkpoint is a run's
    return {
        "id": checkpoint_name_of(build.run.id, checkpoint.step),
        "object": "fine_tuning.job.checkpoint",
        "created_at": seconds_of(checkpoint.at),
        "fine_tuned_model_checkpoint": checkpoint.name,
        "fine_tuning_job_id": job_name_of(build.root.id),
        "step_number": checkpoint.step,
        "metrics": checkpoint.metrics,
    }
