"""Pause, resume, cancel and queue again: one service each, by page and by API."""

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from modelstation import testing
from modelstation.core.models import Job, JobEvent
from training.models import TrainingRun
from training.tests.planted_runs import end, make_run

pytestmark = pytest.mark.django_db
ACTIONS = ("pause", "resume", "cancel", "requeue")


@pytest.fixture
def run(org):
    return make_run(testing.make_model(org, status="training"))


@pytest.fixture
def api(api_for, bob):
    return api_for(bob)


def state_of(run):
    return Job.objects.get(id=run.job_id).state


def post(api, run, action):
    return api.post(reverse(f"api_run_{action}", args=[run.id]))


@pytest.mark.parametrize("action", ACTIONS)
def test_a_stranger_does_nothing_to_a_run(api_for, charlie, as_charlie, org, run, action):
    stranger = api_for(charlie, charlie.organizations.get())
    before = JobEvent.objects.count()
    assert post(stranger, run, action).status_code == 404
    assert as_charlie.post(reverse(f"run_{action}", args=[org.slug, run.id])).status_code == 404
    assert JobEvent.objects.count() == before


def test_a_run_at_work_is_requested_to_pause(api, run):
    job = post(api, run, "pause").json()["job"]
    assert job["state"] == "running"
    assert job["pause_requested_at"]


def test_a_run_that_waits_is_paused_at_once_and_resumed(api, run):
    end(run.job, "queued")
    job = post(api, run, "pause").json()["job"]
    assert (job["state"], job["stage"]) == ("paused", "paused")

    assert post(api, run, "resume").json()["job"]["state"] == "queued"


@pytest.mark.parametrize(
    ("state", "action", "code", "sentence"),
    [
        ("succeeded", "pause", "not_pausable", "can be paused; this one is succeeded."),
        ("running", "resume", "not_paused", "Only a paused run can be resumed"),
        ("failed", "cancel", "not_building", "can be cancelled; this one is failed."),
        ("running", "requeue", "not_requeueable", "this one is running."),
        ("succeeded", "requeue", "not_requeueable", "this one is succeeded."),
    ],
)
def test_a_action_in_the_wrong_state_is_refused_with_a_sentence(
    api, run, state, action, code, sentence
):
    if state != "running":
        end(run.job, state)
    response = post(api, run, action)
    assert response.status_code == 409
    assert response.json()["error"]["code"] == code
    assert sentence in response.json()["error"]["message"]
    assert state_of(run) == state


def test_a_run_that_failed_is_queued_again_as_a_new_one(api, bob, run):
    end(run.job, "failed", error_code="no_progress")
    type(run.model).objects.update(status="failed")

    response = post(api, run, "requeue")

    assert response.status_code == 201
    again = TrainingRun.objects.get(id=response.json()["id"])
    assert response["Location"].endswith(f"/api/v1/runs/{again.id}")
    assert again.asked_config == {"seed": 7}
    assert (again.job.state, again.job.kind) == ("queued", "train")
    assert (again.model.status, again.model.built_by) == ("training", bob)
    assert state_of(run) == "failed"


def test_a_run_is_queued_again_once(api, run):
    end(run.job, "cancelled")
    type(run.model).objects.update(status="cancelled")
    assert post(api, run, "requeue").status_code == 201
    response = post(api, run, "requeue")
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "already_building"


@pytest.mark.parametrize(("state", "action"), [("running", "pause"), ("paused", "resume")])
def test_every_action_is_in_the_audit(as_bob, bob, org, run, state, action):
    if state != "running":
        end(run.job, state)
    response = as_bob.post(reverse(f"run_{action}", args=[org.slug, run.id]))
    assert response.url == reverse("run", args=[org.slug, run.id])
    entry = AuditEntry.objects.get(action=f"run.{action}")
    assert (entry.actor, entry.data["run"]) == (bob, str(run.id))


def test_what_is_refused_is_in_no_audit(api, run):
    post(api, run, "resume")
    assert not AuditEntry.objects.filter(action="run.resume").exists()


def test_a_paused_run_offers_to_go_on_and_says_from_where(as_bob, org, run):
    JobEvent.emit(run.job_id, "checkpoint", "Checkpoint kept at step 40.", data={"step": 40})
    end(run.job, "paused")
    page = as_bob.get(reverse("run", args=[org.slug, run.id])).content.decode()
    assert 'id="run-resume"' in page
    assert 'id="run-pause"' not in page
    assert "Waits for you to resume it, at step 40" in page


def test_the_page_goes_to_the_new_run(as_bob, org, run):
    end(run.job, "failed")
    type(run.model).objects.update(status="failed")
    response = as_bob.post(reverse("run_requeue", args=[org.slug, run.id]))
    newest = TrainingRun.objects.first()
    assert newest != run
    assert response.url == reverse("run", args=[org.slug, newest.id])


def test_a_runs_json_shows_where_it_stands(api, run):
    progress = {"step": 40, "total_steps": 80, "eta_seconds": 75.0, "memory_bytes": 1_500_000_000}
    Job.objects.filter(id=run.job_id).update(progress=progress | {"tokens_per_second": 811.3})
    JobEvent.emit(run.job_id, "checkpoint", data={"step": 32})
    body = api.get(reverse("api_run", args=[run.id])).json()
    assert body["checkpoint_step"] == 32
    shown = body["job"]["progress"]
    assert shown["memory_bytes"] == 1_500_000_000
    assert (shown["eta_seconds"], shown["tokens_per_second"]) == (75.0, 811.3)
    assert shown["loss"] is None


@pytest.mark.parametrize("code", ["diverged", "oom_killed", "gpu_oom", "no_progress", "crash_loop"])
def test_a_failure_is_reported_alike_by_page_and_api(api, as_bob, org, run, code):
    end(run.job, "failed", error_code=code)
    job = api.get(reverse("api_run", args=[run.id])).json()["job"]
    page = as_bob.get(reverse("run", args=[org.slug, run.id])).content.decode()
    assert job["error_code"] == code
    assert job["error_advice"]
    assert job["error_advice"] in page.replace("&#x27;", "'")
    assert f"<code>{code}</code>" in page
