"""The page of a training run: live while it learns, and what a person does with it."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from accounts.access import enter, org_for
from modelstation.core.charts import Series, line_chart, number
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.events import (
    PAGE_HEARTBEAT_SECONDS,
    Story,
    stream_response,
    text_response,
)
from modelstation.core.jobs.failures import failure_of
from modelstation.core.jobs.health import Problem, problems
from modelstation.core.models import Job, JobEvent
from modelstation.core.templatetags.ui import duration
from training.access import training_run_for
from training.builds.services import requeue_run
from training.models import TrainingRun
from training.plan.estimate.estimates import RunPlan
from training.recipes.config import SETTINGS
from training.runs import services
from training.runs.curves import Point, points_of

LINES_A_PAGE = 100
MANY_EVENTS = 5000  # from then on the curves, which hardly change any more, are drawn less often
FACTS = {
    "steps": "Steps",
    "resumed_from": "Went on from step",
    "train_tokens": "Tokens read",
    "answer_tokens": "Answer tokens learned",
    "final_loss": "Final training loss",
    "best_valid_loss": "Best validation loss",
    "best_step": "Kept as of step",
    "ended_by": "Ended",
    "train_rows": "Rows learned from",
    "valid_rows": "Validation rows",
    "valid_accuracy": "Accuracy on validation rows",
    "calibration_error": "Expected calibration error there",
    "seconds": "Time",
    "peak_memory_bytes": "Peak memory",
    "device": "Device",
}
ENDED_BY = {
    "all_steps": "after all its steps",
    "early_stop": "early: the validation loss did not get better any more",
    "max_minutes": "by its budget of minutes, with the best so far kept",
    "max_tokens": "by its budget of tokens, with the best so far kept",
}


@login_required
@require_GET
def run(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    run = training_run_for(org_for(request, org), run_id)
    context = _live_context(run) | {
        "config": _config_rows(run),
        "reasons": run.plan.get("reasons"),
        "facts": _facts(run),
        "log": _log(run),
        "every": 2 if run.job.event_count < MANY_EVENTS else 10,
    }
    return render(request, "training/run.html", context)


@login_required
@require_GET
def run_live(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    """Render what changes while the run goes on, its log only when there is more of it. Once the
    run has ended, the page is loaded afresh.
    """
    run = training_run_for(org_for(request, org), run_id)
    if not run.job.is_live:
        return HttpResponse(headers={"HX-Refresh": "true"})
    log = _log(run)
    more = bool(log) and str(log[-1].seq) != request.GET.get("seen")
    context = _live_context(run) | {"log": log, "more": more}
    return render(request, "training/_run.html", context)


@login_required
@require_GET
def run_stream(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponseBase:
    """Stream the run's events to its page, which a browser can open by no more than an address."""
    owner = org_for(request, org)
    story = Story(job_id=training_run_for(owner, run_id).job_id)
    return stream_response(request, story, owner=owner.id, heartbeat=PAGE_HEARTBEAT_SECONDS)


@login_required
@require_GET
def run_log(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    """Render a hundred lines of the log: the newest, or those before a line."""
    run = training_run_for(org_for(request, org), run_id)
    given = request.GET.get("before", "")
    before = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else None
    context = {"run": run, "job": run.job, "log": _log(run, before), "before": before}
    return render(request, "training/run_log.html", context)


@login_required
@require_GET
def run_log_text(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    run = training_run_for(org_for(request, org), run_id)
    return text_response(f"run-{run.id}", _lines(run))


@login_required
@require_POST
def run_pause(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    message = "The run was asked to pause: it keeps a checkpoint at its next step's end."
    return _do(request, org, run_id, "pause", message)


@login_required
@require_POST
def run_resume(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    return _do(request, org, run_id, "resume", "The run is queued to go on.")


@login_required
@require_POST
def run_cancel(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    message = "The run was asked to stop; it does so within half a minute."
    return _do(request, org, run_id, "cancel", message)


@login_required
@require_POST
def run_requeue(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    member = enter(request, org)
    run = training_run_for(member.org, run_id)
    try:
        run = requeue_run(actor=member.user, run=run)
    except UserFacingError as error:
        messages.warning(request, error.text)
    return redirect("run", org, run.id)


def _do(
    request: HttpRequest, org: str, run_id: uuid.UUID, action: services.Action, message: str
) -> HttpResponse:
    """Do an action that the run may have outrun: then the page says so, and shows how it is."""
    member = enter(request, org)
    try:
        services.act(action, actor=member.user, run=training_run_for(member.org, run_id))
        messages.info(request, message)
    except UserFacingError as error:
        messages.warning(request, error.message)
    return redirect("run", org, run_id)


# --- what changes ---------------------------------------------------------------------------------


def _live_context(run: TrainingRun) -> dict[str, Any]:
    points = points_of(run.job_id)
    train = _series(points, "Training", lambda point: point.loss)
    valid = _series(points, "Validation", lambda point: point.valid_loss)
    return {
        "run": run,
        "job": run.job,
        "stage": stage_of(run.job),
        "failure": failure_of(run.job),
        "figures": _figures(run, points),
        "loss_chart": line_chart([train, valid], title="Loss", x_label="step"),
        "small_charts": [
            _chart(points, "Learning rate", lambda point: point.learning_rate),
            _chart(points, "Tokens per second", lambda point: point.tokens_per_second),
            _chart(points, "Memory in GB", lambda p: p.memory_bytes and p.memory_bytes / 1e9),
        ],
        "problems": problems_of(run.job),
    }


def stage_of(job: Job) -> str:
    """Return the last message of what the job is doing."""
    kinds = (JobEvent.Kind.STAGE, JobEvent.Kind.STATE)
    events = job.events.filter(kind__in=kinds).order_by("-seq")
    return events.values_list("message", flat=True).first() or ""


def problems_of(job: Job) -> list[Problem]:
    """Return why a job may wait in vain; nothing while it runs."""
    if job.state != Job.State.QUEUED:
        return []
    codes = (f"no_worker_{job.queue}", "disk_full")
    return [problem for problem in problems() if problem.code in codes]


def _figures(run: TrainingRun, points: list[Point]) -> list[tuple[str, str, str]]:
    """(name, value, small print)"""
    if not points:
        return []
    last, progress, kept = points[-1], run.job.progress, run.checkpoint_step
    valid = [(point.valid_loss, point.step) for point in points if point.valid_loss is not None]
    losses = [point.loss for point in points if point.loss is not None]
    best, best_step = min(valid, default=(None, 0))
    memory = progress.get("memory_bytes") or last.memory_bytes
    speed = progress.get("tokens_per_second") or last.tokens_per_second
    return [
        ("Step", f"{last.step:,}", f"checkpoint at {kept:,}" if kept else ""),
        ("Training loss", number(losses[-1]) if losses else "–", ""),
        ("Best validation loss", _or_dash(best), f"at step {best_step:,}" if best_step else ""),
        ("Tokens per second", _or_dash(speed), ""),
        ("Memory", f"{memory / 1e9:.2f} GB" if memory else "–", ""),
    ]


def _or_dash(value: float | None) -> str:
    return "–" if value is None else number(value)


def _chart(points: list[Point], title: str, value: Callable[[Point], float | None]) -> SafeString:
    return line_chart([_series(points, title, value)], title=title, x_label="step", from_zero=True)


def _series(points: list[Point], name: str, value: Callable[[Point], float | None]) -> Series:
    return Series(name, [(p.step, known) for p in points if (known := value(p)) is not None])


# --- the log --------------------------------------------------------------------------------------


def _lines(run: TrainingRun) -> Any:
    return Story(job_id=run.job_id).events().exclude(kind=JobEvent.Kind.METRICS)


def _log(run: TrainingRun, before: int | None = None) -> list[JobEvent]:
    lines = _lines(run) if before is None else _lines(run).filter(seq__lt=before)
    return list(reversed(lines.order_by("-seq")[:LINES_A_PAGE]))


# --- what stays -----------------------------------------------------------------------------------


def _config_rows(run: TrainingRun) -> list[tuple[str, Any, Any, str]]:
    """Return (setting, requested, used, why): what was not requested is chosen from data and
    machine. Before that, only what was requested.
    """
    if run.resolved_config.get("student") == "encoder":
        reason = str((run.plan.get("reasons") or {}).get("student", ""))
        used = run.resolved_config.items()
        return [(name, None, value, reason if name == "student" else "") for name, value in used]
    names = [name for name in SETTINGS if run.resolved_config or name in run.asked_config]
    why = run.plan.get("reasons") or {}
    return [
        (name, run.asked_config.get(name), run.resolved_config.get(name), why.get(name, ""))
        for name in names
    ]


def _facts(run: TrainingRun) -> list[tuple[str, str]]:
    known = [(name, run.facts[name]) for name in FACTS if run.facts.get(name) not in (None, 0)]
    return [*_expected(run), *((FACTS[name], _fact(name, value)) for name, value in known)]


def _expected(run: TrainingRun) -> list[tuple[str, str]]:
    """Return what its plan expected before it started."""
    plan = RunPlan.from_json(run.plan)
    if not (plan.minutes.high and plan.peak_memory.high):
        return []
    low, high = duration(60 * plan.minutes.low), duration(60 * plan.minutes.high)
    gigabytes = f"{plan.peak_memory.low / 1e9:.2f} to {plan.peak_memory.high / 1e9:.2f} GB"
    return [("Expected time", f"{low} to {high}"), ("Expected memory", gigabytes)]


def _fact(name: str, value: Any) -> str:
    if name == "seconds":
        return duration(value)
    if name == "ended_by":
        return ENDED_BY.get(value, str(value))
    if name == "peak_memory_bytes":
        return f"{value / 1e9:.2f} GB"
    if isinstance(value, float):
        return number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
