"""A file without criteria: that it is trained on is all that was requested, and every page, API,
mail and webhook tells the same of it.
"""

import json

import pytest
from django.core import mail as outbox

from accounts.models import EndMail
from models_app import mails
from models_app.gateway.model_resolver import tuned_name
from models_app.models import CustomModel, ModelVersion, WebhookDelivery
from models_app.webhooks import services as webhooks
from models_app.webhooks.rows import WebhookEvent
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from training.builds import ends
from training.evaluations import services as evaluations
from training.models import EvaluationRun
from training.tests.planted_runs import make_job, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(org, alice, settings):
    """A training that has ended, on the rows of a file; its version waits to be measured."""
    settings.WEBHOOK_ALLOW_PRIVATE = True
    webhooks.create_endpoint(
        actor=alice, org=org, url="https://127.0.0.1/hook", events=list(WebhookEvent.values)
    )
    model = testing.make_model(org, name="Tickets", status="evaluating", built_by=alice)
    run = make_run(model, "succeeded")
    Job.objects.filter(kind="distil").update(kind="freeze")
    run.version = ModelVersion.objects.create(
        org=org, model=model, number=1, base=model.base, folder="v1"
    )
    run.save()
    return run


def measure(run, verdict, **fields):
    score = {"score": 0.5, "low": 0.4, "high": 0.6}
    result = {"metric": "exact_match", "n_test": 10, "verdict": verdict, "base": score}
    result |= {"tuned": score, "baseline": score}
    result |= {"criteria": [{"sentence": "No gain over its base.", "passed": verdict == "pass"}]}
    row = EvaluationRun.objects.create(
        org=run.org,
        job=make_job(run.model, "evaluate", "succeeded"),
        model=CustomModel.objects.get(id=run.model_id),
        version=run.version,
        metric="exact_match",
        **fields,
    )
    ends.finish_evaluation(run=row, folder="e", result=result)
    return row.job


def break_evaluation(run, **fields):
    """As its worker ends it."""
    row = evaluations.submit_evaluation(run.version, **fields)

    def work(job, lease):
        raise UserFacingError("The model server is full.", code="engine_failed")

    jobs.run_job(str(row.job_id), work)
    return row.job


def seen_by(api, run):
    """(status at /v1, status and reason at /api/v1, webhooks)."""
    (job,) = api.get("/v1/fine_tuning/jobs").json()["data"]
    model = api.get(f"/api/v1/models/{run.model_id}").json()
    hooks = [
        json.loads(body)["type"] for body in WebhookDelivery.objects.values_list("body", flat=True)
    ]
    return job["status"], model["status"], model["status_reason"], hooks


def mailed(job):
    mails.send(EndMail.objects.get(job=job).id)
    (sent,) = outbox.outbox
    return sent


def page_of(client, run):
    return client.get(f"/o/acme/models/{run.model_id}/").content.decode()


def test_a_stranger_hears_nothing_of_it(api_for, charlie, run):
    measure(run, "fail")
    stranger = api_for(charlie, charlie.organizations.get())

    assert stranger.get("/v1/fine_tuning/jobs").json()["data"] == []
    assert stranger.get(f"/api/v1/models/{run.model_id}").status_code == 404


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_what_did_not_pass_is_ready_everywhere_and_live_nowhere(
    api_for, alice, as_alice, run, verdict
):
    job = measure(run, verdict)

    at_v1, status, reason, hooks = seen_by(api_for(alice), run)
    assert (at_v1, status, hooks) == ("succeeded", "ready", ["fine_tuning.job.succeeded"])
    assert "No gain over its base." in reason
    assert tuned_name(run.version) in reason
    assert CustomModel.objects.get().live_version is None
    assert ModelVersion.objects.get().state == "draft"
    sent = mailed(job)
    assert sent.subject == "Tickets is ready"
    assert "served now" not in sent.body
    assert "No gain over its base." in sent.body
    page = page_of(as_alice, run)
    assert "trained, not live" in page
    assert "Put right what it names" not in page


def test_what_passed_is_live(api_for, alice, run):
    job = measure(run, "pass")

    at_v1, status, reason, _ = seen_by(api_for(alice), run)
    assert (at_v1, status, reason) == ("succeeded", "ready", "")
    assert CustomModel.objects.get().live_version == run.version
    assert "is built and is served now" in mailed(job).body


def test_an_evaluation_that_breaks_takes_nothing_from_it(api_for, alice, as_alice, run):
    job = break_evaluation(run)

    at_v1, status, reason, hooks = seen_by(api_for(alice), run)
    assert (at_v1, status, hooks) == ("succeeded", "ready", ["fine_tuning.job.succeeded"])
    assert "It was not measured: The model server is full." in reason
    sent = mailed(job)
    assert sent.subject == "Tickets is ready"
    assert "The build of" not in sent.body


@pytest.mark.parametrize(
    "again", [lambda run: measure(run, "fail", is_again=True), break_evaluation]
)
def test_measuring_it_again_fails_nothing(api_for, alice, run, again):
    measure(run, "inconclusive")
    again(run)

    at_v1, status, _, hooks = seen_by(api_for(alice), run)
    assert (at_v1, status, hooks) == ("succeeded", "ready", ["fine_tuning.job.succeeded"])


def test_a_second_training_on_the_files_rows_is_requested_no_more(api_for, alice, run):
    measure(run, "inconclusive")
    again = run.dataset_version.training_runs.create(
        org=run.org, model=run.model, job=make_job(run.model, "train", "succeeded")
    )
    again.version = ModelVersion.objects.create(
        org=run.org, model=run.model, number=2, base=run.model.base, folder="v2"
    )
    again.save()
    measure(again, "fail")

    listed = api_for(alice).get("/v1/fine_tuning/jobs").json()["data"]
    assert [job["status"] for job in listed] == ["succeeded", "succeeded"]
    assert CustomModel.objects.get().status == "ready"


def test_written_criteria_are_held_to_everywhere(api_for, alice, run):
    CustomModel.objects.update(success_criteria=["exact match of at least 99 %"])
    run.refresh_from_db()
    job = measure(run, "fail")

    at_v1, status, reason, hooks = seen_by(api_for(alice), run)
    assert (at_v1, status, hooks) == ("failed", "not_passed", ["fine_tuning.job.failed"])
    assert reason == "No gain over its base."
    assert mailed(job).subject == "Tickets was built and did not pass"


def test_a_model_with_a_requirement_is_held_to_it_when_its_evaluation_breaks(api_for, alice, run):
    Job.objects.filter(kind="freeze").update(kind="distil")
    break_evaluation(run)

    at_v1, status, reason, hooks = seen_by(api_for(alice), run)
    assert (at_v1, status, hooks) == ("failed", "failed", ["fine_tuning.job.failed"])
    assert reason == "The model server is full."
