"""Webhooks: who hears of what, how it is signed, sent, tried again, and given up."""

import json
from datetime import timedelta

import openai
import pytest
from django.core import mail as outbox
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import AuditEntry
from models_app.models import WebhookDelivery, WebhookEndpoint
from models_app.webhooks import services as webhooks
from models_app.webhooks.rows import WebhookEvent, every_event
from modelstation import testing
from modelstation.core import outbound
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from modelstation.core.tests.jobs.listeners import listening
from modelstation.testing import make_version
from training.builds import ends
from training.builds import services as builds
from training.builds.ends import finish_evaluation
from training.models import EvaluationRun
from training.tests.planted_runs import make_job

pytestmark = pytest.mark.django_db
FAILED = WebhookEvent.FAILED


@pytest.fixture(autouse=True)
def private(settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True


@pytest.fixture
def receiver():
    with listening(body=b"thanks") as server:
        yield server


@pytest.fixture
def endpoint(org, alice, receiver):
    endpoint, endpoint.secret_shown = webhooks.create_endpoint(
        actor=alice, org=org, url=receiver.url, events=every_event(), name="Ours"
    )
    return endpoint


@pytest.fixture
def model(org):
    return testing.make_model(org, status="training")


def fail(model, kind="train"):
    """A job that ends in failure as its worker ends it."""
    job = jobs.submit(kind=kind, org=model.org, subject_id=model.id)

    def work(job, lease):
        raise UserFacingError("The loss is no number at step 12.", code="diverged")

    jobs.run_job(str(job.id), work)
    return job


def evaluate(model, verdict):
    make_job(model, "train", "succeeded")
    run = EvaluationRun.objects.create(
        org=model.org,
        model=model,
        job=make_job(model, "evaluate", "succeeded"),
        version=make_version(model),
        metric="exact_match",
    )
    score = {"score": 0.5, "low": 0.4, "high": 0.6}
    result = {
        "n_test": 10, "verdict": verdict, "criteria": [], "metric": "exact_match",
        "base": score, "tuned": score, "baseline": score,
    }  # fmt: skip
    finish_evaluation(run=run, folder="e", result=result)
    return run.job


def unwrapped(request, secret, **options):
    client = openai.OpenAI(api_key="none")
    return client.webhooks.unwrap(request.body, request.headers, secret=secret, **options)


def be_due(delivery):
    WebhookDelivery.objects.filter(id=delivery.id).update(
        next_try_at=timezone.now() - timedelta(seconds=1)
    )


# --- Strangers first ------------------------------------------------------------------------------


def test_a_stranger_hears_nothing_of_others_jobs(charlie, model, receiver):
    webhooks.create_endpoint(
        actor=charlie, org=charlie.organizations.get(), url=receiver.url, events=every_event()
    )

    fail(model)

    assert not WebhookDelivery.objects.exists()


# --- What is told, and that OpenAI's client believes it -------------------------------------------


def test_a_failed_job_is_told_and_the_openai_client_verifies_it(endpoint, model, receiver):
    job = fail(model)
    delivery = WebhookDelivery.objects.get()
    assert receiver.requests == []  # it is a worker who sends it

    assert webhooks.send(delivery.id)

    event = unwrapped(receiver.requests[0], endpoint.secret_shown)
    assert event.type == "fine_tuning.job.failed"
    assert event.object == "event"
    assert event.data.id == f"ftjob-{job.id.hex}"
    assert event.id == delivery.event_id == receiver.requests[0].headers["webhook-id"]
    assert event.created_at <= timezone.now().timestamp()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.status_code, delivery.response) == ("delivered", 200, "thanks")


def test_the_job_that_is_named_can_be_asked_for_and_says_the_same(
    endpoint, model, receiver, api_for, alice
):
    fail(model, kind="distil")
    fail(model)
    webhooks.send_waiting()

    for request in receiver.requests:
        event = unwrapped(request, endpoint.secret_shown)
        job = api_for(alice).get(f"/v1/fine_tuning/jobs/{event.data.id}").json()
        assert event.type == f"fine_tuning.job.{job['status']}"


def test_another_secret_or_a_changed_body_is_not_believed(endpoint, model, receiver):
    fail(model)
    webhooks.send_waiting()
    (request,) = receiver.requests

    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrapped(request, webhooks._new_secret())
    request.body = request.body.replace(b"failed", b"succeeded")
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrapped(request, endpoint.secret_shown)


def test_the_signature_is_that_of_the_standards_own_example():
    # https://github.com/standard-webhooks/standard-webhooks, its libraries' test vector.
    signed = webhooks.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        '{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_evaluation_that_passes_is_a_success_and_one_that_does_not_is_a_failure(endpoint, model):
    evaluate(model, "pass")
    assert WebhookDelivery.objects.get().type == "fine_tuning.job.succeeded"
    WebhookDelivery.objects.all().delete()
    model.versions.all().delete()

    evaluate(model, "fail")
    assert WebhookDelivery.objects.get().type == "fine_tuning.job.failed"


def test_a_cancelled_build_is_told(endpoint, model, alice):
    jobs.submit(kind="train", org=model.org, subject_id=model.id)

    builds.cancel_build(actor=alice, model=model)

    assert WebhookDelivery.objects.get().type == "fine_tuning.job.cancelled"


def test_a_build_is_named_after_the_first_of_its_jobs(endpoint, model):
    first = make_job(model, "distil", "succeeded")
    make_job(model, "train", "succeeded")

    fail(model, kind="evaluate")

    assert json.loads(WebhookDelivery.objects.get().body)["data"]["id"] == f"ftjob-{first.id.hex}"


def test_an_evaluation_that_ends_no_build_is_not_told(endpoint, model):
    """One that was asked for later, when the build had been measured."""
    for kind in ("train", "evaluate"):
        make_job(model, kind, "succeeded")

    fail(model, kind="evaluate")

    assert not WebhookDelivery.objects.exists()


def test_a_training_on_a_dataset_that_was_there_begins_a_build_of_its_own(endpoint, model):
    make_job(model, "distil", "succeeded")
    make_job(model, "train", "succeeded")
    again = make_job(model, "train", "succeeded")

    fail(model, kind="evaluate")

    assert json.loads(WebhookDelivery.objects.get().body)["data"]["id"] == f"ftjob-{again.id.hex}"


def test_only_those_who_asked_for_an_event_and_are_turned_on_hear_it(org, alice, model, receiver):
    for events, is_enabled in (
        ([FAILED], True),
        (["fine_tuning.job.succeeded"], True),
        ([FAILED], False),
    ):
        WebhookEndpoint.objects.create(
            org=org, url=receiver.url, events=events, is_enabled=is_enabled, secret="whsec_eA=="
        )

    fail(model)

    assert WebhookDelivery.objects.get().endpoint.events == [FAILED]


def test_a_job_that_did_not_end_is_not_told(endpoint, model):
    """The row is in the transaction that ends the job."""
    job = make_job(model, "train", "failed")
    with transaction.atomic():
        ends.send_webhooks(model, job)
        assert WebhookDelivery.objects.exists()
        transaction.set_rollback(True)

    assert not WebhookDelivery.objects.exists()
    assert not OrmQ.objects.exists()


def test_an_end_is_told_once_however_often_it_is_asked_for(endpoint, model, receiver):
    job = fail(model)
    ends.send_webhooks(model, job)
    delivery = WebhookDelivery.objects.get()

    assert [webhooks.send(delivery.id) for _ in range(3)] == [True, False, False]
    assert webhooks.send_waiting() == 0
    assert len(receiver.requests) == 1


def test_a_delivery_sends_its_hint_with_it_and_a_lost_one_is_made_good(endpoint, model, receiver):
    fail(model)
    tasks = [hint.task for hint in OrmQ.objects.all()]
    (hint,) = [task for task in tasks if task["func"] == "models_app.webhooks.services.send"]
    assert hint["args"] == (str(WebhookDelivery.objects.get().id),)
    OrmQ.objects.all().delete()

    assert webhooks.send_waiting() == 1


def test_it_is_delivered_though_the_model_is_deleted(endpoint, model, alice, receiver):
    fail(model)
    builds.delete_model(actor=alice, model=model)

    assert webhooks.send_waiting() == 1


# --- Tries ----------------------------------------------------------------------------------------


def test_a_receiver_that_fails_is_asked_again_later_with_the_same_id(endpoint, model, receiver):
    receiver.status, receiver.body = 500, b"no\x00t today" * 200
    fail(model)
    delivery = WebhookDelivery.objects.get()

    assert not webhooks.send(delivery.id)
    assert not webhooks.send(delivery.id)  # not before its time

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.status_code) == ("waiting", 1, 500)
    assert delivery.response.startswith("no\ufffdt today")
    assert len(delivery.response) <= outbound.KEPT_BYTES
    assert delivery.next_try_at > timezone.now()

    receiver.status = 204
    be_due(delivery)
    assert webhooks.send_waiting() == 1
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    endpoint.refresh_from_db()
    assert endpoint.failing_since is None


def test_after_eight_tries_within_a_day_it_is_given_up(endpoint, model, receiver):
    receiver.status = 503
    fail(model)
    delivery = WebhookDelivery.objects.get()
    for _ in range(12):
        be_due(delivery)
        webhooks.send_waiting()

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("given_up", 8)
    assert len(receiver.requests) == 8
    assert sum(webhooks.DELAYS, timedelta()) * (1 + webhooks.JITTER) < timedelta(hours=30)


def test_a_worker_that_died_in_its_last_try_leaves_nothing_waiting(endpoint, model, receiver):
    fail(model)
    WebhookDelivery.objects.update(attempts=8)

    assert webhooks.send_waiting() == 0
    assert WebhookDelivery.objects.get().state == "given_up"
    assert receiver.requests == []


def test_slow_receivers_do_not_hold_the_worker(endpoint, model, alice, receiver, monkeypatch):
    """What there is no time for is left for the next minute."""
    webhooks.send_test(actor=alice, endpoint=endpoint)
    monkeypatch.setattr(webhooks, "SECONDS_AT_A_TIME", 0)

    assert webhooks.send_waiting() == 0
    assert WebhookDelivery.objects.get().attempts == 0


def test_nobody_there_is_a_failure_with_its_reason(endpoint, model):
    WebhookEndpoint.objects.update(url="http://127.0.0.1:9/")
    fail(model)

    webhooks.send_waiting()

    delivery = WebhookDelivery.objects.get()
    assert delivery.status_code is None
    assert "refused" in delivery.error


def test_a_redirect_is_a_failure_and_nobody_goes_there(endpoint, model, receiver):
    with listening() as inner:
        receiver.status, receiver.headers = 302, {"location": inner.url}
        fail(model)
        webhooks.send_waiting()

    assert inner.requests == []
    assert WebhookDelivery.objects.get().error == "redirects are not followed"


def test_an_address_within_the_house_is_refused_at_the_sending_too(
    endpoint, model, receiver, settings
):
    settings.WEBHOOK_ALLOW_PRIVATE = False
    fail(model)

    webhooks.send_waiting()

    assert receiver.requests == []
    assert "not on the public internet" in WebhookDelivery.objects.get().error


def test_one_that_was_turned_off_meanwhile_is_not_sent(endpoint, model, receiver, alice):
    fail(model)
    webhooks.change_endpoint(actor=alice, endpoint=endpoint, is_enabled=False)

    webhooks.send_waiting()

    assert receiver.requests == []
    assert WebhookDelivery.objects.get().state == "given_up"


# --- Endpoints ------------------------------------------------------------------------------------


def test_a_secret_is_kept_encrypted(endpoint):
    kept = WebhookEndpoint.objects.filter(id=endpoint.id).extra(select={"raw": "secret"})
    raw = kept.values_list("raw", flat=True).get()
    assert endpoint.secret_shown.startswith("whsec_")
    assert endpoint.secret_shown not in raw
    assert endpoint.secret_shown[12:] not in str(vars(endpoint)["secret_hint"])


def test_after_a_rotation_both_secrets_sign_for_a_day(endpoint, model, alice, receiver):
    old = endpoint.secret_shown
    endpoint = WebhookEndpoint.objects.get()
    new = webhooks.rotate_secret(actor=alice, endpoint=endpoint)
    fail(model)
    webhooks.send_waiting()
    (request,) = receiver.requests
    assert unwrapped(request, old).id == unwrapped(request, new).id

    WebhookEndpoint.objects.update(old_secret_until=timezone.now() - timedelta(seconds=1))
    fail(model)
    webhooks.send_waiting()
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrapped(receiver.requests[1], old)
    assert unwrapped(receiver.requests[1], new)


def test_days_of_failing_turn_it_off_and_the_owner_is_told(
    endpoint, model, receiver, alice, settings
):
    settings.PUBLIC_URL = "https://slm.example.org"
    receiver.status = 500
    fail(model)
    webhooks.send_waiting()
    endpoint.refresh_from_db()
    assert endpoint.is_enabled
    assert outbox.outbox == []

    long_ago = timezone.now() - webhooks.DISABLED_AFTER - timedelta(minutes=1)
    WebhookEndpoint.objects.update(failing_since=long_ago)
    be_due(WebhookDelivery.objects.get())
    webhooks.send_waiting()

    endpoint.refresh_from_db()
    assert not endpoint.is_enabled
    assert "5 days" in endpoint.disabled_reason
    (sent,) = outbox.outbox
    assert sent.to == [alice.email]
    assert f"https://slm.example.org/o/acme/webhooks/{endpoint.id}/" in sent.body
    assert AuditEntry.objects.filter(action="webhook.disable", actor=None).count() == 1


def test_a_receiver_that_is_gone_is_turned_off_at_once(endpoint, model, receiver):
    receiver.status = 410
    fail(model)
    webhooks.send_waiting()

    endpoint.refresh_from_db()
    assert not endpoint.is_enabled


def test_turning_it_on_again_forgives(endpoint, alice):
    WebhookEndpoint.objects.update(
        is_enabled=False, disabled_reason="x", failing_since=timezone.now()
    )
    endpoint = WebhookEndpoint.objects.get()

    webhooks.change_endpoint(actor=alice, endpoint=endpoint, is_enabled=True)

    endpoint.refresh_from_db()
    assert (endpoint.disabled_reason, endpoint.failing_since) == ("", None)


def test_a_test_and_a_redelivery_arrive(endpoint, alice, receiver):
    delivery = webhooks.send_test(actor=alice, endpoint=endpoint)
    webhooks.send_waiting()
    webhooks.redeliver(actor=alice, delivery=delivery)
    webhooks.send_waiting()

    ids = {unwrapped(each, endpoint.secret_shown).id for each in receiver.requests}
    assert ids == {delivery.event_id}
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("events", [[], ["job.succeeded"]])
def test_events_that_there_are_not_are_refused(org, alice, receiver, events):
    with pytest.raises(UserFacingError) as refused:
        webhooks.create_endpoint(actor=alice, org=org, url=receiver.url, events=events)
    assert refused.value.param == "events"


def test_there_are_so_many_and_no_more(org, alice, receiver, monkeypatch):
    monkeypatch.setattr(webhooks, "MAX_ENDPOINTS", 1)
    make = {"actor": alice, "org": org, "url": receiver.url, "events": every_event()}
    webhooks.create_endpoint(**make)

    with pytest.raises(UserFacingError, match="at most 1 webhooks"):
        webhooks.create_endpoint(**make)


def test_a_paused_job_is_no_end(endpoint, model):
    job = jobs.submit(kind="train", org=model.org, subject_id=model.id)
    jobs.request_pause(Job.objects.get(id=job.id))

    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(
    ("verdict", "event", "status"),
    [
        ("pass", "succeeded", "ready"),
        ("inconclusive", "failed", "undecided"),
        ("fail", "failed", "not_passed"),
    ],
)
def test_an_event_tells_what_did_not_pass_from_what_broke(model, endpoint, verdict, event, status):
    evaluate(model, verdict)
    body = json.loads(WebhookDelivery.objects.get().body)
    assert (body["type"], body["data"]["model_status"]) == (f"fine_tuning.job.{event}", status)
    WebhookDelivery.objects.all().delete()
    fail(model)
    broken = json.loads(WebhookDelivery.objects.get().body)
    assert (broken["type"], broken["data"]["model_status"]) == ("fine_tuning.job.failed", "failed")
