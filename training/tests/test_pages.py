import json
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from distillation.models import DatasetVersion, DistillationRun
from models_app.models import ModelVersion
from modelstation import testing
from modelstation.core.models import Job, JobEvent
from training.models import EvaluationRun, EvaluationScore, MetricPoint, TrainingRun

HOSTILE = "<script>alert('answer')</script>"
ERROR = "The loss became NaN at step 12. Use a lower learning rate."


def make_job(model, kind, state="running", **fields):
    token = uuid.uuid4() if state == "running" else None
    return Job.objects.create(
        org=model.org,
        kind=kind,
        queue="gpu",
        subject_id=model.id,
        state=state,
        lease_token=token,
        **fields,
    )


@pytest.fixture
def model(org):
    return testing.make_model(org, status="training")


@pytest.fixture
def run(model):
    distilled = DistillationRun.objects.create(
        org=model.org, job=make_job(model, "distil", "succeeded"), model=model
    )
    dataset = DatasetVersion.objects.create(
        org=model.org, model=model, run=distilled, number=1, row_count=10, folder="dataset"
    )
    job = make_job(model, "train", progress={"step": 2, "total_steps": 8, "eta_seconds": 90})
    JobEvent.tell(job.id, "stage", "Training")
    return TrainingRun.objects.create(
        org=model.org, job=job, model=model, dataset_version=dataset, asked_config={"seed": 7}
    )


def add_points(run, count):
    MetricPoint.objects.bulk_create(
        MetricPoint(
            run=run,
            step=step,
            loss=4 / step,
            valid_loss=5 / step if step % 2 == 0 else None,
            learning_rate=1e-3,
            tokens_per_second=220,
        )
        for step in range(1, count + 1)
    )


def end(job, state, **fields):
    Job.objects.filter(id=job.id).update(state=state, lease_token=None, **fields)


@pytest.fixture
def evaluation(model, artifacts_dir):
    version = ModelVersion.objects.create(
        org=model.org, model=model, number=3, base=model.base, folder="version"
    )
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


# --- a training run -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run", "run_live"])
def test_a_stranger_sees_no_run(as_charlie, charlie, org, run, name):
    assert as_charlie.get(url(name, org, run_id=run.id)).status_code == 404
    own = charlie.organizations.get()
    assert as_charlie.get(url(name, own, run_id=run.id)).status_code == 404


def test_a_live_run_asks_for_itself_every_two_seconds(as_bob, org, run):
    page = text_of(as_bob.get(url("run", org, run_id=run.id)))
    assert f'hx-get="{url("run_live", org, run_id=run.id)}" hx-trigger="every 2s"' in page
    assert "Step 2 of 8, about 1 min 30 s left" in page
    assert "Cancel run" in page


def test_the_fragment_is_the_part_of_the_page(as_bob, org, run):
    add_points(run, 4)
    fragment = text_of(as_bob.get(url("run_live", org, run_id=run.id)))
    assert fragment.startswith('<div class="stack" id="run"')
    assert "<html" not in fragment
    assert "Training: 4 at step 1, 1 at 4." in fragment
    assert "Validation: 2.5 at step 2, 1.25 at 4." in fragment


def test_an_ended_run_stops_asking(as_bob, org, run):
    end(run.job, "failed", error_code="diverged", error_text=ERROR)
    fragment = text_of(as_bob.get(url("run_live", org, run_id=run.id)))
    assert "hx-trigger" not in fragment
    assert "Cancel run" not in fragment
    assert ERROR in fragment


def test_settings_show_what_was_asked_beside_what_was_used(as_bob, org, run):
    run.resolved_config = {"seed": 7, "learning_rate": 0.0013}
    run.facts = {"train_tokens": 118204, "losses": [1, 2]}
    run.save()
    response = as_bob.get(url("run", org, run_id=run.id))
    settings = {name: (asked, used) for name, asked, used in response.context["config"]}
    assert settings["seed"] == (7, 7)
    assert settings["learning_rate"] == (None, 0.0013)
    assert ("Tokens read", "118,204") in response.context["facts"]
    assert "automatic" in text_of(response)


def test_a_run_that_waits_says_that_no_worker_is_running(as_bob, org, run):
    end(run.job, "queued")
    page = text_of(as_bob.get(url("run", org, run_id=run.id)))
    assert "No worker is running for the “gpu” queue" in page
    assert "“distil”" not in page


def test_queries_do_not_grow_with_the_curve(as_bob, org, run, django_assert_num_queries):
    page = url("run", org, run_id=run.id)
    add_points(run, 1)
    with CaptureQueriesContext(connection) as few:
        as_bob.get(page)
    add_points(run, 600)
    for number in range(20):
        JobEvent.tell(run.job.id, "log", f"line {number}")
    with django_assert_num_queries(len(few)):
        as_bob.get(page)


def test_a_member_cancels_a_run(as_bob, org, run):
    response = as_bob.post(url("run_cancel", org, run_id=run.id), follow=True)
    run.job.refresh_from_db()
    assert run.job.cancel_requested_at is not None
    assert "Stopping…" in text_of(response)


def test_cancelling_an_ended_run_touches_no_other_job(as_bob, org, model, run):
    end(run.job, "succeeded")
    other = make_job(model, "evaluate")
    response = as_bob.post(url("run_cancel", org, run_id=run.id), follow=True)
    other.refresh_from_db()
    assert other.cancel_requested_at is None
    assert "had ended already" in text_of(response)


def test_a_run_is_not_cancelled_by_a_link_or_by_a_stranger(as_bob, as_charlie, org, run):
    address = url("run_cancel", org, run_id=run.id)
    assert as_bob.get(address).status_code == 405
    assert as_charlie.post(address).status_code == 404
    run.job.refresh_from_db()
    assert run.job.cancel_requested_at is None


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


def test_few_rows_are_told(as_bob, org, evaluation):
    page = text_of(as_bob.get(url("evaluation", org, evaluation_id=evaluation.id)))
    assert "Only 30 held-out rows." in page


def test_answers_come_worst_first_and_a_page_at_a_time(as_bob, org, evaluation):
    address = url("evaluation", org, evaluation_id=evaluation.id)
    first = as_bob.get(address).context["page"]
    assert first[0]["tuned"] == "no"
    assert len(first) == 25
    assert "question 29" in text_of(as_bob.get(address, {"page": 2}))


def test_answers_are_escaped(as_bob, org, evaluation):
    page = text_of(as_bob.get(url("evaluation", org, evaluation_id=evaluation.id)))
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_an_evaluation_without_its_files_keeps_its_scores(as_bob, org, evaluation, artifacts_dir):
    for path in (artifacts_dir / "evaluation").iterdir():
        path.unlink()
    page = text_of(as_bob.get(url("evaluation", org, evaluation_id=evaluation.id)))
    assert "0.720" in page
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
