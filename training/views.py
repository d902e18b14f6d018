"""The page of an evaluation: how far it is, then what it found."""

import json
import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from accounts.access import org_for
from modelstation.core.charts import Interval, interval_bars
from modelstation.core.failures import failure_of
from training.access import evaluation_for
from training.models import EvaluationRun, EvaluationScore
from training.run_views import problems_of, stage_of

ANSWERS_PER_PAGE = 25
SUBJECTS = {"base": "Base", "tuned": "Tuned", "baseline": "Trivial baseline"}
VERDICTS = {
    "pass": "The tuned model meets every criterion.",
    "inconclusive": "Not every criterion is settled: too few held-out rows, or scores too close.",
    "fail": "The tuned model misses a criterion, so it is not published.",
}


@login_required
@require_GET
def evaluation(request: HttpRequest, org: str, evaluation_id: uuid.UUID) -> HttpResponse:
    found = evaluation_for(org_for(request, org), evaluation_id)
    report = _report(found)
    answers = Paginator(_answers(found), ANSWERS_PER_PAGE)
    context = {
        "evaluation": found,
        "job": found.job,
        "stage": stage_of(found.job),
        "failure": failure_of(found.job),
        "verdict": VERDICTS.get(found.verdict, ""),
        "scores": _score_bars(found, report),
        "report": report,
        "page": answers.get_page(request.GET.get("page")),
        "problems": problems_of(found.job),
    }
    return render(request, "training/evaluation.html", context)


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
