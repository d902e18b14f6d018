"""What the child says becomes the story of its job; what becomes of it is on the model's page."""

import pytest
from django.urls import reverse

from accounts.models import EndMail
from modelstation import testing
from modelstation.core.jobs.lease import Lease, LeaseLost
from modelstation.core.models import Job, JobEvent
from modelstation.testing import make_version
from training.builds import ends
from training.models import EvaluationRun
from training.runs import runner
from training.tests.planted_runs import add_points, end, make_job, make_run

pytestmark = pytest.mark.django_db
STEP = {
    "event": "progress",
    "stage": "train",
    "step": 1,
    "total_steps": 1,
    "loss": 2.5,
    "learning_rate": 1e-4,
    "tokens_per_second": 800.0,
    "tokens": 640,
    "eta_seconds": 0.0,
    "memory_bytes": 1_500_000_000,
}


@pytest.fixture
def run(org):
    return make_run(testing.make_model(org, status="training"))


@pytest.fixture
def report(run):
    return runner.reporter(Lease(run.job))


def story_of(run):
    return list(run.job.events.values_list("kind", "message"))


def test_a_step_becomes_a_point_with_all_that_the_child_measured(run, report):
    report(STEP)
    point = run.job.events.get(kind="metrics")
    assert point.data == {k: v for k, v in STEP.items() if k not in ("event", "stage")}
    assert Job.objects.get(id=run.job_id).progress["memory_bytes"] == 1_500_000_000


def test_steps_without_a_loss_are_progress_and_no_points(run, report):
    report({"event": "progress", "stage": "load", "step": 0, "total_steps": 1})
    report({"event": "progress", "stage": "train", "step": 1, "total_steps": 9, "loss": None})
    assert not run.job.events.filter(kind="metrics").exists()


def test_logs_stages_and_checkpoints_are_reported_in_order(run, report):
    report({"event": "log", "message": "40 rows."})
    report(STEP)
    report({"event": "checkpoint", "step": 1200})
    assert story_of(run) == [
        ("log", "40 rows."),
        ("stage", "Training"),
        ("metrics", ""),
        ("checkpoint", "Checkpoint kept at step 1,200."),
    ]
    assert run.checkpoint_step == 1200


def test_a_worker_without_the_lease_adds_no_more_steps(run, report):
    Job.objects.filter(id=run.job_id).update(state="queued", lease_token=None)
    with pytest.raises(LeaseLost):
        report(STEP)
    assert not run.job.events.filter(kind="metrics").exists()


def test_the_models_page_shows_the_story_without_the_points(as_bob, org, run):
    JobEvent.emit(run.job_id, "log", "A word.")
    add_points(run, 300)
    page = as_bob.get(reverse("model", args=[org.slug, run.model_id]))
    assert [event.message for event in page.context["overview"].events] == ["A word."]


def test_the_models_page_says_what_to_try(as_bob, org, run):
    end(run.job, "failed", error_code="oom_killed", error_text="Killed.")
    type(run.model).objects.update(status="failed", status_reason="Killed.")
    page = as_bob.get(reverse("model", args=[org.slug, run.model_id])).content.decode()
    assert "Killed." in page
    assert "Use a smaller micro_batch_tokens" in page
    assert "<code>oom_killed</code>" in page


def test_the_verdict_of_an_evaluation_is_reported_to_who_started_it(org, bob, run):
    type(run.model).objects.update(built_by=bob)
    version = make_version(run.model)
    job = make_job(run.model, "evaluate")
    evaluation = EvaluationRun.objects.create(
        org=org, job=job, model=run.model, version=version, metric="exact_match"
    )
    score = {"score": 0.5}
    result = {"n_test": 9, "verdict": "pass", "criteria": [], "metric": "exact_match"}
    result |= {"base": score, "tuned": score, "baseline": score}
    evaluation.refresh_from_db()
    ends.finish_evaluation(run=evaluation, folder="e", result=result)
    assert EndMail.objects.get(job=job).user == bob


def test_operators_read_a_jobs_story_without_its_points(client, run):
    client.force_login(testing.make_user("root@example.org", is_staff=True, is_superuser=True))
    JobEvent.emit(run.job_id, "log", "A word.")
    add_points(run, 3)
    page = client.get(reverse("admin:core_job_change", args=[run.job_id]))
    (inline,) = page.context["inline_admin_formsets"]
    assert [form.instance.message for form in inline.formset.forms] == ["A word."]


def test_the_log_is_paged_back_and_downloaded_whole(as_bob, org, run):
    for number in range(1, 121):
        JobEvent.emit(run.job_id, "log", f"line {number}")
    add_points(run, 5)
    log = reverse("run_log", args=[org.slug, run.id])
    newest = as_bob.get(log).context["log"]
    assert [newest[0].seq, newest[-1].seq] == [21, 120]
    older = as_bob.get(log, {"before": 21}).context["log"]
    assert [older[0].seq, older[-1].seq] == [1, 20]
    assert as_bob.get(log, {"before": "9" * 30}).status_code == 200

    text = as_bob.get(reverse("run_log_text", args=[org.slug, run.id]))
    lines = text.content.decode().splitlines()
    assert text["Content-Type"] == "text/plain; charset=utf-8"
    assert len(lines) == 120
    assert lines[0].endswith("log         line 1")


def test_a_live_fragment_brings_the_log_only_when_there_is_more(as_bob, org, run):
    JobEvent.emit(run.job_id, "log", "A word.")
    live = reverse("run_live", args=[org.slug, run.id])
    assert "A word." not in as_bob.get(live, {"seen": "1"}).content.decode()
    assert 'hx-swap-oob="true"' in as_bob.get(live, {"seen": "0"}).content.decode()
