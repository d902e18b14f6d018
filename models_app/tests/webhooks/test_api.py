"""/api/v1/webhooks, and the pages: the same doors and services."""

import json

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from models_app.models import IdempotentRequest, WebhookDelivery, WebhookEndpoint
from models_app.webhooks import services as webhooks
from models_app.webhooks.rows import every_event
from modelstation.core.tests.jobs.listeners import listening

pytestmark = pytest.mark.django_db
URL = "/api/v1/webhooks"
HOOK = {"url": "http://127.0.0.1:9/hook", "events": ["fine_tuning.job.failed"], "name": "CI"}


@pytest.fixture(autouse=True)
def private(settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True


@pytest.fixture
def endpoint(org, alice):
    return webhooks.create_endpoint(
        actor=alice, org=org, url=HOOK["url"], events=every_event(), name="Ours"
    )[0]


def error_of(response, status):
    assert response.status_code == status, response.content
    return response.json()["error"]


# --- Strangers and members first ------------------------------------------------------------------


def test_a_strangers_webhook_does_not_exist(api_for, charlie, endpoint):
    stranger = api_for(charlie, charlie.organizations.get())
    for method, path in (
        ("get", ""), ("patch", ""), ("delete", ""), ("post", "/rotate-secret"), ("post", "/test"),
        ("get", "/deliveries"), ("post", f"/deliveries/{endpoint.id}/redeliver"),
    ):  # fmt: skip
        assert getattr(stranger, method)(f"{URL}/{endpoint.id}{path}").status_code == 404
    assert stranger.get(URL).json()["results"] == []
    assert WebhookEndpoint.objects.filter(id=endpoint.id).exists()


def test_a_delivery_of_another_webhook_is_not_found(api, org, alice, endpoint):
    other, _ = webhooks.create_endpoint(actor=alice, org=org, url=HOOK["url"], events=every_event())
    delivery = webhooks.send_test(actor=alice, endpoint=other)

    path = f"{URL}/{endpoint.id}/deliveries/{delivery.id}/redeliver"
    assert api.post(path).status_code == 404


def test_a_member_sees_and_changes_nothing(api_for, bob, endpoint):
    member = api_for(bob)
    assert len(member.get(URL).json()["results"]) == 1
    assert member.post(URL, HOOK, format="json").status_code == 403
    assert member.patch(f"{URL}/{endpoint.id}", {}, format="json").status_code == 403


# --- The API --------------------------------------------------------------------------------------


def test_a_webhook_is_made_with_a_secret_that_is_shown_once(api, alice):
    made = api.post(URL, HOOK, format="json")

    assert made.status_code == 201
    body = made.json()
    assert body["secret"].startswith("whsec_")
    assert body["events"] == HOOK["events"]
    shown = api.get(f"{URL}/{body['id']}").json()
    assert shown == {key: value for key, value in body.items() if key != "secret"}
    assert body["secret"] not in json.dumps(api.get(URL).json())
    assert AuditEntry.objects.get(action="webhook.create").actor == alice


def test_all_events_are_told_where_none_is_named(api):
    made = api.post(URL, {"url": HOOK["url"]}, format="json").json()
    assert made["events"] == every_event()


def test_the_same_key_makes_one_webhook_and_keeps_no_secret(api):
    first, second = (
        api.post(URL, HOOK, format="json", headers={"Idempotency-Key": "k1"}) for _ in range(2)
    )

    assert first.json() == second.json()
    assert WebhookEndpoint.objects.count() == 1
    kept = json.dumps(IdempotentRequest.objects.get().response)
    assert first.json()["secret"] not in kept
    other = api.post(URL, HOOK | {"name": "x"}, format="json", headers={"Idempotency-Key": "k1"})
    assert error_of(other, 422)["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "ftp://127.0.0.1/"}, "url"),
        ({"url": ""}, "url"),
        ({"events": ["job.failed"]}, "events"),
        ({"events": []}, "events"),
        ({"secret": "mine"}, "secret"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(api, settings, change, param):
    settings.WEBHOOK_ALLOW_PRIVATE = change.get("url") != "http://10.0.0.1/"

    error = error_of(api.post(URL, HOOK | change, format="json"), 400)

    assert error["param"].split(".")[0] == param
    assert not WebhookEndpoint.objects.exists()


def test_fields_that_are_given_change_and_the_others_stay(api, endpoint):
    changed = api.patch(f"{URL}/{endpoint.id}", {"is_enabled": False}, format="json").json()

    assert changed["is_enabled"] is False
    assert changed["url"] == HOOK["url"]
    assert error_of(api.post(f"{URL}/{endpoint.id}/test"), 409)["code"] == "webhook_disabled"


def test_a_test_is_sent_seen_and_sent_again(api, endpoint):
    with listening(body=b"ok") as server:
        api.patch(f"{URL}/{endpoint.id}", {"url": server.url}, format="json")
        sent = api.post(f"{URL}/{endpoint.id}/test")
        webhooks.send_waiting()
        (seen,) = api.get(f"{URL}/{endpoint.id}/deliveries").json()["results"]
        again = api.post(f"{URL}/{endpoint.id}/deliveries/{seen['id']}/redeliver")

    assert sent.status_code == 201
    assert (seen["state"], seen["status_code"], seen["response"]) == ("delivered", 200, "ok")
    assert again.json()["state"] == "waiting"


def test_a_rotation_shows_the_new_secret_and_a_deletion_is_one(api, endpoint):
    rotated = api.post(f"{URL}/{endpoint.id}/rotate-secret").json()
    assert rotated["secret"].startswith(rotated["secret_hint"][:10])

    assert api.delete(f"{URL}/{endpoint.id}").status_code == 204
    assert not WebhookEndpoint.objects.exists()


def test_a_list_asks_the_same_number_of_queries_however_long_it_is(
    api, org, alice, endpoint, django_assert_num_queries
):
    for _ in range(3):
        webhooks.create_endpoint(actor=alice, org=org, url=HOOK["url"], events=every_event())
        webhooks.send_test(actor=alice, endpoint=endpoint)
    api.get(URL)

    with django_assert_num_queries(3):  # token, membership, webhooks
        api.get(URL)
    with django_assert_num_queries(4):
        api.get(f"{URL}/{endpoint.id}/deliveries")


# --- Pages ----------------------------------------------------------------------------------------


def page(name, *args):
    return reverse(name, args=["acme", *args])


def test_the_page_adds_a_webhook_and_shows_its_secret_once(as_alice, endpoint):
    answer = as_alice.post(page("webhooks"), HOOK)

    assert b"whsec_" in answer.content
    made = WebhookEndpoint.objects.get(name="CI")
    assert f">{made.secret.open()}<".encode() in answer.content
    assert made.secret.open().encode() not in as_alice.get(page("webhook", made.id)).content
    assert b"CI" in as_alice.get(page("webhooks")).content


def test_a_refused_url_is_told_in_the_form(as_alice, org, settings):
    settings.WEBHOOK_ALLOW_PRIVATE = False

    answer = as_alice.post(page("webhooks"), HOOK).content.decode()

    assert "not on the public internet" in answer
    assert "WEBHOOK_ALLOW_PRIVATE" in answer  # what to do
    assert HOOK["url"] in answer  # and nothing has to be typed again
    assert not WebhookEndpoint.objects.exists()


def test_the_page_changes_tests_and_turns_off(as_alice, endpoint):
    body = {"url": endpoint.url, "name": "Theirs", "events": ["fine_tuning.job.failed"]}
    as_alice.post(page("webhook_test", endpoint.id))
    answer = as_alice.post(page("webhook_change", endpoint.id), body, follow=True).content.decode()

    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.is_enabled) == ("Theirs", False)
    assert "turned off" in answer
    assert WebhookDelivery.objects.get().event_id in answer


def test_the_page_watches_a_test_until_it_was_tried(as_alice, endpoint):
    as_alice.post(page("webhook_test", endpoint.id))
    watched = as_alice.get(page("webhook", endpoint.id)).content.decode()
    WebhookDelivery.objects.update(attempts=1, error="connection refused")
    tried = as_alice.get(page("webhook", endpoint.id)).content.decode()

    assert "(a test)" in watched
    assert 'hx-trigger="every 2s"' in watched
    assert "next try" in tried
    assert 'hx-trigger="every 2s"' not in tried


def test_a_member_reads_and_finds_no_buttons(as_bob, endpoint):
    listed, shown = as_bob.get(page("webhooks")), as_bob.get(page("webhook", endpoint.id))

    assert b"Add webhook" not in listed.content
    assert b"Send a test" not in shown.content


def test_what_a_receiver_says_is_shown_as_text(as_alice, alice, endpoint):
    delivery = webhooks.send_test(actor=alice, endpoint=endpoint)
    WebhookDelivery.objects.filter(id=delivery.id).update(response="<script>alert(1)</script>")

    answer = as_alice.get(page("webhook", endpoint.id)).content.decode()

    assert "&lt;script&gt;alert(1)" in answer
    assert "<script>alert" not in answer
