import json
import uuid

import pytest
from django.urls import reverse

from modelstation import testing
from modelstation.core.models import Job
from modelstation.testing import make_version
from training.models import EvaluationRun, EvaluationScore
from training.tests.planted_runs import make_job, make_run

HOSTILE = "<script>alert('answer')</script>"
ERROR = "The loss became NaN at step 12. Use a lower learning rate."


@pytest.fixture
def model(org):
    return testing.make_model(org, status="training")


@pytest.fixture
def run(model):
    return make_run(model)


@pytest.fixture
def evaluation(model, artifacts_dir):
    version = make_version(model, number=3, folder="version")
    evaluation = EvaluationRun.objects.create(
        org=model.org,
        job=make_job(model, "evaluate", "succeeded"),
        model=model,
        version=version,
        metric="exact_match",
        test_count=30,
        verdict="fail",
        criteria=[
            {"sentence": "Better than its base: +70 points.", "outcome": "pass", "passed": True},
            {"sentence": "exact_match is 0.720.", "outcome": "fail", "passed": False},
        ],
        folder="evaluation",
    )
    for subject, score in (("base", 0.02), ("tuned", 0.72), ("baseline", 0.1)):
        EvaluationScore.objects.create(
            run=evaluation, subject=subject, metric="exact_match", score=score, low=None, high=None
        )
    write_report(artifacts_dir / "evaluation")
    return evaluation


def write_report(folder):
    folder.mkdir(parents=True)
    report = {
        "baseline": {"name": "majority answer", "score": 0.1},
        "note": "Only 30 held-out rows.",
    }
    (folder / "report.json").write_text(json.dumps(report))
    rows = [
        {
            "input": f"question {number}",
            "reference": "yes",
            "base": HOSTILE,
            "tuned": "yes" if number else "no",
            "base_score": 0.0,
            "tuned_score": float(number > 0),
        }
        for number in range(30)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def url(name, org, **kwargs):
    return reverse(name, kwargs={"org": org.slug, **kwargs})


def text_of(response):
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


# --- an evaluation --------------------------------------------------------------------------------


def test_a_stranger_sees_no_evaluation(as_charlie, org, evaluation):
    address = url("evaluation", org, evaluation_id=evaluation.id)
    assert as_charlie.get(address).status_code == 404


def test_an_evaluation_shows_base_beside_tuned_and_the_verdict_in_words(as_bob, org, evaluation):
    page = text_of(as_bob.get(url("evaluation", org, evaluation_id=evaluation.id)))
    assert "The tuned model misses a criterion" in page
    assert "exact_match is 0.720." in page
    for name in (">Base<", ">Tuned<", ">Without a model: majority answer<"):
        assert name in page
    assert page.index(">Base<") < page.index(">Tuned<")


def test_few_rows_are_noted(as_bob, org, evaluation):
    page = text_of(as_bob.get(url("evaluation", org, evaluation_id=evaluation.id)))
    assert "Only 30 held-out rows." in page


def test_answers_come_worst_first_and_a_page_at_a_time(as_bob, org, evaluation):
    address = url("evaluation", org, evaluation_id=evaluation.id)
    first = as_bob.get(address).context["page"]
    assert first[0]["tuned"] == "no"
    assert len(first) == 25
    assert "question 29" in text_of(as_bob.get(address, {"page": 2}))


def test_the_live_versions_answers_stand_beside_where_there_are_any(
    as_bob, org, evaluation, artifacts_dir
):
    address = url("evaluation", org, evaluation_id=evaluation.id)
    assert "Live ·" not in text_of(as_bob.get(address))
    row = {"input": "x", "reference": "y", "base": "b", "tuned": "t", "live": "", "live_score": 0.5}
    row |= {"base_score": 0.0, "tuned_score": 1.0}
    (artifacts_dir / "evaluation" / "rows.jsonl").write_text(json.dumps(row) + "\n")
    assert "Live · 0.50" in text_of(as_bob.get(address))


def test_answers_are_escaped(as_bob, org, evaluation):
    page = text_of(as_bob.get(url("evaluation", org, evaluation_id=evaluation.id)))
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_an_evaluation_without_its_files_keeps_its_scores(as_bob, org, evaluation, artifacts_dir):
    for path in (artifacts_dir / "evaluation").iterdir():
        path.unlink()
    page = text_of(as_bob.get(url("evaluation", org, evaluation_id=evaluation.id)))
    assert "72.0 %" in page
    assert "no longer on the disk" in page


def test_an_evaluation_at_work_shows_how_far_it_is(as_bob, org, evaluation):
    evaluation.verdict, evaluation.folder = "", ""
    evaluation.save()
    progress = {"step": 12, "total_steps": 30}
    Job.objects.filter(id=evaluation.job_id).update(
        state="running", lease_token=uuid.uuid4(), progress=progress
    )
    page = text_of(as_bob.get(url("evaluation", org, evaluation_id=evaluation.id)))
    assert "12 of 30 answers" in page
    assert 'hx-trigger="every 2s"' in page


# --- the report ---------------------------------------------------------------------------------

FINDINGS = {
    "confusion": {"labels": ["<b>", "card", "other"], "counts": [[3, 1, 0], [0, 8, 0], [0, 0, 0]]},
    "fields": [
        {
            "field": "amount",
            "support": 9,
            "precision": 0.9,
            "recall": 0.8,
            "f1": 0.847,
            "base_f1": 0.1,
        }
    ],
    "probes": {
        "base": {"score": 0.5, "low": 0.4, "high": 0.6},
        "tuned": {"score": 0.3, "low": 0.2, "high": 0.4},
        "forgetting": {"score": -0.2, "low": -0.3, "high": -0.1},
        "kinds": [{"kind": "arithmetic", "n": 12, "base": 7, "tuned": 3}],
        "note": "It has forgotten some general knowledge.",
    },
}
LIVE = {
    "version": "x",
    "number": 2,
    "score": 0.8,
    "low": 0.7,
    "high": 0.9,
    "difference": {"score": -0.08, "low": -0.14, "high": -0.02},
}
CRITERION = {
    "metric": "exact_match",
    "op": ">=",
    "value": 0.9,
    "words": "At least 90 % of the answers are right",
    "asked": "90 % right",
    "sentence": "exact_match is 0.720.",
    "outcome": "inconclusive",
    "passed": False,
    "tuned": {"score": 0.72, "low": 0.61, "high": 0.83},
    "base": {"score": 0.02, "low": 0.0, "high": 0.07},
    "baseline": 0.1,
}


@pytest.fixture
def measured(evaluation, artifacts_dir):
    """Fill an evaluation with everything that a report can hold."""
    path = artifacts_dir / "evaluation" / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | FINDINGS))
    evaluation.criteria = [CRITERION]
    evaluation.live, evaluation.contract_digest = LIVE, "c" * 64
    evaluation.save()
    return evaluation


def test_a_stranger_gets_no_report_and_no_evaluation_again(as_charlie, org, measured):
    for name in ("evaluation_print", "evaluation_report"):
        assert as_charlie.get(url(name, org, evaluation_id=measured.id)).status_code == 404
    again = url("version_evaluate", org, version_id=measured.version_id)
    assert as_charlie.post(again).status_code == 404
    assert EvaluationRun.objects.count() == 1


@pytest.mark.parametrize("name", ["evaluation", "evaluation_print"])
def test_a_criterion_stands_beside_base_and_no_model_with_its_intervals(
    as_bob, org, measured, name
):
    page = text_of(as_bob.get(url(name, org, evaluation_id=measured.id)))
    assert "At least 90 % of the answers are right" in page
    for number in ("72.0 %", "61.0 to 83.0 %", "2.0 %", "0.0 to 7.0 %", "10.0 %"):
        assert number in page
    assert "Inconclusive" in page


def test_a_quantity_is_shown_with_its_unit(as_bob, org, measured):
    tuned = {"score": 0.4312, "low": 0.4, "high": 0.5}
    measured.criteria = [CRITERION | {"unit": "seconds", "tuned": tuned, "baseline": None}]
    measured.save()
    page = text_of(as_bob.get(url("evaluation", org, evaluation_id=measured.id)))
    assert "0.431 seconds" in page
    assert "0.4 to 0.5 seconds" in page


@pytest.mark.parametrize("name", ["evaluation", "evaluation_print"])
def test_the_report_shows_confusion_fields_forgetting_and_the_live_version(
    as_bob, org, measured, name
):
    page = text_of(as_bob.get(url(name, org, evaluation_id=measured.id)))
    assert "&lt;b&gt;" in page
    assert '<td class="num heat-right-4">3</td>' in page
    assert '<td class="num heat-wrong-2">1</td>' in page
    assert '<td class="num heat-wrong-0">0</td>' in page
    assert "<strong>1 ×</strong>" in page
    assert "other</th>" not in page
    assert "Column 3: other, which no row expects." in page
    assert "84.7 %" in page
    assert "It has forgotten some general knowledge." in page
    assert "-30.0 points to -10.0 points" in page
    assert "arithmetic" in page
    assert "Worse" in page
    assert "(-14.0 points to -2.0 points)" in page


def test_what_is_printed_names_requirement_contract_and_dataset(as_bob, org, measured):
    type(measured.version).objects.update(dataset_digest="d" * 64)
    page = text_of(as_bob.get(url("evaluation_print", org, evaluation_id=measured.id)))
    assert testing.REQUIREMENT.replace("'", "&#x27;") in page
    assert "c" * 64 in page
    assert "d" * 64 in page
    assert "css/print.css" in page
    assert "<nav" not in page
    assert HOSTILE not in page


def test_the_report_is_downloaded_as_json(as_bob, org, measured):
    response = as_bob.get(url("evaluation_report", org, evaluation_id=measured.id))
    assert response["Content-Disposition"] == (
        'attachment; filename="bank-intents-v3-evaluation.json"'
    )
    assert json.loads(response.content)["probes"] == FINDINGS["probes"]


def test_a_report_that_is_gone_is_404(as_bob, org, measured, artifacts_dir):
    (artifacts_dir / "evaluation" / "report.json").unlink()
    assert as_bob.get(url("evaluation_report", org, evaluation_id=measured.id)).status_code == 404


def test_the_api_gives_the_same_report(api_for, bob, measured):
    api = api_for(bob)
    shown = api.get(f"/api/v1/evaluations/{measured.id}").json()
    assert shown["criteria"] == [CRITERION]
    assert (shown["live"], shown["contract_digest"]) == (LIVE, "c" * 64)
    report = api.get(f"/api/v1/evaluations/{measured.id}/report").json()
    assert report["confusion"] == FINDINGS["confusion"]


def test_evaluate_again_is_one_press(as_bob, org, measured, run):
    type(run).objects.update(version=measured.version)
    type(run.model).objects.update(status="ready")
    again = as_bob.post(url("version_evaluate", org, version_id=measured.version_id))
    requested = EvaluationRun.objects.get(is_again=True)
    assert again.url == url("evaluation", org, evaluation_id=requested.id)
    assert requested.version == measured.version
    assert "waits" in text_of(as_bob.get(again.url)).lower()


# --- operators ------------------------------------------------------------------------------------


@pytest.fixture
def as_operator(db, client):
    operator = testing.make_user("root@example.org", is_staff=True, is_superuser=True)
    client.force_login(operator)
    return client


@pytest.mark.parametrize("name", ["trainingrun", "evaluationrun"])
def test_operators_find_runs_by_their_jobs_state(as_operator, run, evaluation, name):
    page = reverse(f"admin:training_{name}_changelist")
    assert as_operator.get(page, {"q": "Bank", "job__state__exact": "running"}).status_code == 200


def test_operators_read_an_evaluation_with_its_scores(as_operator, evaluation):
    page = reverse("admin:training_evaluationrun_change", args=[evaluation.id])
    assert "0.72" in as_operator.get(page).content.decode()


def test_operators_ask_a_run_to_stop(as_operator, run):
    page = reverse("admin:training_trainingrun_changelist")
    as_operator.post(page, {"action": "cancel", "_selected_action": [str(run.id)]})
    run.job.refresh_from_db()
    assert run.job.cancel_requested_at is not None
