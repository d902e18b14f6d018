"""Pages of craft: a training run while it learns, and what its evaluation found."""

import json
import uuid
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from accounts.access import org_for
from accounts.models import User
from models_app.services import cancel_build
from modelstation.core.charts import Interval, Series, interval_bars, line_chart, number
from modelstation.core.health import Problem, problems
from modelstation.core.models import Job, JobEvent
from modelstation.core.templatetags.ui import duration
from training.access import evaluation_for, training_run_for
from training.models import EvaluationRun, EvaluationScore, MetricPoint, TrainingRun
from training.recipes.config import TrainingConfig

ANSWERS_PER_PAGE = 25
LATEST_EVENTS = 100
SUBJECTS = {"base": "Base", "tuned": "Tuned", "baseline": "Trivial baseline"}
FACTS = {
    "steps": "Steps",
    "train_tokens": "Tokens read",
    "answer_tokens": "Answer tokens learned",
    "final_loss": "Final training loss",
    "best_valid_loss": "Best validation loss",
    "seconds": "Time",
    "device": "Device",
}
VERDICTS = {
    "pass": "The tuned model meets every criterion.",
    "inconclusive": "Not every criterion is settled: too few held-out rows, or scores too close.",
    "fail": "The tuned model misses a criterion, so it is not published.",
}


@login_required
@require_GET
def run(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    found = training_run_for(org_for(request, org), run_id)
    return render(request, "training/run.html", _run_context(found))


@login_required
@require_GET
def run_live(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    """What changes while the run goes on; it asks for itself again until the run has ended."""
    found = training_run_for(org_for(request, org), run_id)
    return render(request, "training/_run.html", _run_context(found))


@login_required
@require_POST
def run_cancel(request: HttpRequest, org: str, run_id: uuid.UUID) -> HttpResponse:
    found = training_run_for(org_for(request, org), run_id)
    assert isinstance(request.user, User)
    if found.job.is_live and cancel_build(actor=request.user, model=found.model):
        messages.info(request, "The run was asked to stop; it does so within half a minute.")
    else:
        messages.warning(request, "This run had ended already.")
    return redirect("run", org, run_id)


@login_required
@require_GET
def evaluation(request: HttpRequest, org: str, evaluation_id: uuid.UUID) -> HttpResponse:
    found = evaluation_for(org_for(request, org), evaluation_id)
    report = _report(found)
    answers = Paginator(_answers(found), ANSWERS_PER_PAGE)
    context = {
        "evaluation": found,
        "job": found.job,
        "stage": _stage(found.job),
        "verdict": VERDICTS.get(found.verdict, ""),
        "scores": _score_bars(found, report),
        "report": report,
        "page": answers.get_page(request.GET.get("page")),
        "problems": _problems(found.job),
    }
    return render(request, "training/evaluation.html", context)


# --- a training run -------------------------------------------------------------------------------


def _run_context(run: TrainingRun) -> dict[str, Any]:
    points = list(run.points.all())
    return {
        "run": run,
        "job": run.job,
        "stage": _stage(run.job),
        "figures": _figures(points),
        "loss_chart": _loss_chart(points),
        "rate_charts": [
            _chart(points, "Learning rate", lambda point: point.learning_rate),
            _chart(points, "Tokens per second", lambda point: point.tokens_per_second),
        ],
        "config": _config_rows(run),
        "facts": _facts(run),
        "events": _latest_events(run.job),
        "problems": _problems(run.job),
    }


def _figures(points: list[MetricPoint]) -> list[tuple[str, str]]:
    if not points:
        return []
    losses = [point.loss for point in points if point.loss is not None]
    valid = [point.valid_loss for point in points if point.valid_loss is not None]
    return [
        ("Step", f"{points[-1].step:,}"),
        ("Training loss", number(losses[-1]) if losses else "–"),
        ("Best validation loss", number(min(valid)) if valid else "–"),
        ("Tokens per second", number(points[-1].tokens_per_second or 0)),
    ]


def _loss_chart(points: list[MetricPoint]) -> SafeString:
    """Validation is measured now and then: only those steps make its line."""
    train = Series("Training", [(p.step, p.loss) for p in points if p.loss is not None])
    valid = Series(
        "Validation", [(p.step, p.valid_loss) for p in points if p.valid_loss is not None]
    )
    return line_chart([train, valid], title="Loss", x_label="step")


def _chart(
    points: list[MetricPoint], title: str, value: Callable[[MetricPoint], float | None]
) -> SafeString:
    series = Series(title, [(point.step, value(point)) for point in points])
    return line_chart([series], title=title, x_label="step", from_zero=True)


def _config_rows(run: TrainingRun) -> list[tuple[str, Any, Any]]:
    """(setting, asked, used): what was not asked for is chosen from the data and the machine."""
    names = [field.name for field in fields(TrainingConfig)]
    return [(name, run.asked_config.get(name), run.resolved_config.get(name)) for name in names]


def _facts(run: TrainingRun) -> list[tuple[str, str]]:
    known = [(name, run.facts[name]) for name in FACTS if run.facts.get(name) is not None]
    return [(FACTS[name], _fact(name, value)) for name, value in known]


def _fact(name: str, value: Any) -> str:
    if name == "seconds":
        return duration(value)
    if isinstance(value, float):
        return number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _latest_events(job: Job) -> list[JobEvent]:
    newest = job.events.order_by("-id")[:LATEST_EVENTS]
    return list(reversed(newest))


def _stage(job: Job) -> str:
    """What the job said last of what it is doing."""
    kinds = (JobEvent.Kind.STAGE, JobEvent.Kind.STATE)
    return job.events.filter(kind__in=kinds).values_list("message", flat=True).last() or ""


def _problems(job: Job) -> list[Problem]:
    """Why a job may wait in vain; nothing while it runs."""
    if job.state != Job.State.QUEUED:
        return []
    return [
        problem for problem in problems() if problem.code in (f"no_worker_{job.queue}", "disk_full")
    ]


# --- an evaluation --------------------------------------------------------------------------------


def _score_bars(run: EvaluationRun, report: dict[str, Any]) -> SafeString | None:
    found = {score.subject: score for score in run.scores.filter(metric=run.metric)}
    baseline = report.get("baseline", {}).get("name")
    names = SUBJECTS | ({"baseline": f"Without a model: {baseline}"} if baseline else {})
    rows = [_interval(name, found[subject]) for subject, name in names.items() if subject in found]
    return interval_bars(rows, title=run.metric) if rows else None


def _interval(name: str, score: EvaluationScore) -> Interval:
    return Interval(name, score.score, score.low, score.high)


def _report(run: EvaluationRun) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(_text(run, "report.json") or "{}")
    return report


def _answers(run: EvaluationRun) -> list[dict[str, Any]]:
    """Every held-out row with both answers, as the report ordered them: worst first."""
    return [json.loads(line) for line in _text(run, "rows.jsonl").split("\n") if line]


def _text(run: EvaluationRun, name: str) -> str:
    """A file of the evaluation; empty while it has not ended, or when the file is gone."""
    path = settings.ARTIFACTS_DIR / run.folder / name
    return path.read_text(encoding="utf-8") if run.folder and path.is_file() else ""
