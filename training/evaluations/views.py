"""The pages of an evaluation: how far it is, then its result; to read, to print, to keep."""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from accounts.access import org_for
from accounts.models import User
from models_app.access import version_for
from modelstation.core.charts import Interval, interval_bars
from modelstation.core.jobs.failures import failure_of
from training.access import evaluation_for
from training.builds.services import evaluate_again
from training.evaluations import reports
from training.evaluations.services import dataset_of_version
from training.models import EvaluationRun
from training.runs.views import problems_of, stage_of
from training.scoring.shapes import Report

ANSWERS_PER_PAGE = 25
WORST_PRINTED = 10
VERDICTS = {
    "pass": "The tuned model meets every criterion.",
    "inconclusive": "Not every criterion is settled: too few held-out rows, or scores too close.",
    "fail": "The tuned model misses a criterion, so it goes live only by a person’s word.",
}
NEXT_STEPS = {
    "inconclusive": "More held-out rows settle it. The contract is frozen, so add them to a copy "
    "of the model; or let an owner or admin publish this version with a reason.",
    "fail": "Look at the worst answers below. Correct such answers in the playground, add examples "
    "or data of your own, then build again; or let an owner or admin publish this version with a "
    "reason.",
}


@login_required
@require_GET
def evaluation(request: HttpRequest, org: str, evaluation_id: uuid.UUID) -> HttpResponse:
    run = evaluation_for(org_for(request, org), evaluation_id)
    answers = Paginator(reports.answers_of(run), ANSWERS_PER_PAGE)
    context = _report_context(run) | {
        "job": run.job,
        "stage": stage_of(run.job),
        "failure": failure_of(run.job),
        "page": answers.get_page(request.GET.get("page")),
        "problems": problems_of(run.job),
    }
    return render(request, "training/evaluation.html", context)


@login_required
@require_GET
def evaluation_print(request: HttpRequest, org: str, evaluation_id: uuid.UUID) -> HttpResponse:
    """One column without navigation, for paper."""
    run = evaluation_for(org_for(request, org), evaluation_id)
    wrong = [row for row in reports.answers_of(run) if row["tuned_score"] < 1]
    context = _report_context(run) | {"answers": wrong[:WORST_PRINTED]}
    context["dataset"] = dataset_of_version(run.version)
    return render(request, "training/evaluation_print.html", context)


@login_required
@require_GET
def evaluation_report(request: HttpRequest, org: str, evaluation_id: uuid.UUID) -> HttpResponse:
    run = evaluation_for(org_for(request, org), evaluation_id)
    text = reports.text_of(run, reports.REPORT)
    if not text:
        raise Http404("This evaluation has no report.")
    name = f"{run.model.slug}-v{run.version.number}-evaluation.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type="application/json", headers=headers)


@login_required
@require_POST
def version_evaluate(request: HttpRequest, org: str, version_id: uuid.UUID) -> HttpResponse:
    version = version_for(org_for(request, org), version_id)
    assert isinstance(request.user, User)
    run = evaluate_again(actor=request.user, version=version)
    messages.success(request, "It waits for a worker. What is live does not change by it.")
    return redirect("evaluation", org, run.id)


def _report_context(run: EvaluationRun) -> dict[str, Any]:
    report = reports.report_of(run)
    return {
        "evaluation": run,
        "verdict": VERDICTS.get(run.verdict, ""),
        "next_step": NEXT_STEPS.get(run.verdict, ""),
        "scores": _score_bars(run, report),
        "report": report,
        "criteria": reports.criteria_of(run),
        "confusion": reports.confusion_of(report),
    }


def _score_bars(run: EvaluationRun, report: Report) -> SafeString | None:
    baseline = report["baseline"]["name"] if "baseline" in report else ""
    names = reports.SUBJECTS | ({"baseline": f"Without a model: {baseline}"} if baseline else {})
    rows = reports.intervals_of(run.scores.filter(metric=run.metric), names)
    if "score" in run.live:
        name = f"Live: version {run.live.get('number')}"
        rows.append(Interval(name, *(run.live.get(key) for key in ("score", "low", "high"))))
    return interval_bars(rows, title=run.metric) if rows else None
