"""Webhooks managed and received with the unmodified client of OpenAI."""

import openai
import pytest

from models_app.models import WebhookEndpoint
from models_app.webhooks import services as webhooks
from modelstation.core.tests.jobs.listeners import listening

pytestmark = pytest.mark.django_db
URL = "/v1/webhook_endpoints"
FAILED = "fine_tuning.job.failed"
ASKED = {"name": "CI", "url": "http://127.0.0.1:9/hook", "event_types": [FAILED]}


@pytest.fixture(autouse=True)
def private(settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True


@pytest.fixture
def endpoint(org, alice):
    endpoint, _ = webhooks.create_endpoint(actor=alice, org=org, url=ASKED["url"], events=[FAILED])
    return f"{URL}/we_{endpoint.id.hex}"


def test_a_strangers_and_a_nameless_endpoint_are_not_found(api, api_for, charlie, endpoint):
    stranger = api_for(charlie, charlie.organizations.get())

    for caller, path in ((stranger, endpoint), (api, f"{URL}/we_nothing"), (api, f"{URL}/we_")):
        for response in (caller.get(path), caller.post(path, {}, format="json")):
            assert response.status_code == 404
            assert response.json()["error"]["code"] == "not_found"
    assert stranger.get(URL).json()["data"] == []


def test_a_member_may_look_and_not_touch(api_for, bob, endpoint):
    member = api_for(bob)
    assert member.get(endpoint).status_code == 200
    for refused in (member.post(URL, ASKED, format="json"), member.delete(endpoint)):
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "insufficient_permissions"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"url": "http://user@127.0.0.1/"}, "url"),
        ({"url": None}, "url"),
        ({"name": None}, "name"),
        ({"event_types": ["batch.completed"]}, "event_types.0"),
        ({"event_types": []}, "event_types"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(api, change, param):
    response = api.post(URL, ASKED | change, format="json")

    assert response.status_code == 400
    assert response.json()["error"]["param"].split(".")[0] == param.split(".")[0]


@pytest.mark.django_db(transaction=True)
def test_the_openai_client_makes_tests_changes_rotates_and_deletes(sdk):
    with listening(status=202) as server:
        made = sdk.webhooks.create(**ASKED | {"url": server.url})
        assert made.signing_secret.startswith("whsec_")
        assert sdk.webhooks.event_types.list().data[0] == "fine_tuning.job.succeeded"

        tested = sdk.webhooks.test(made.id, event_type=FAILED)
        assert (tested.status_code, tested.success) == (202, True)
        (request,) = server.requests
        event = sdk.webhooks.unwrap(request.body, request.headers, secret=made.signing_secret)
        assert event.type == FAILED

        rotated = sdk.webhooks.rotate_secret(made.id)
        sdk.webhooks.test(made.id, event_type=FAILED)
        received = server.requests[1]
        assert sdk.webhooks.unwrap(received.body, received.headers, secret=rotated.signing_secret)
        with pytest.raises(openai.InvalidWebhookSignatureError):
            sdk.webhooks.unwrap(received.body, received.headers, secret=made.signing_secret)

    changed = sdk.webhooks.update(made.id, name="Night")
    assert (changed.name, changed.event_types) == ("Night", [FAILED])
    assert sdk.webhooks.retrieve(made.id).signing_secret_hint == rotated.signing_secret_hint
    with pytest.raises(openai.BadRequestError, match="Nobody answered"):
        sdk.webhooks.test(made.id, event_type=FAILED)
    assert sdk.webhooks.delete(made.id).deleted
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_openai_client_pages_through_all_of_them(sdk):
    names = [str(number) for number in range(5)]
    for name in names:
        sdk.webhooks.create(**ASKED | {"name": name})

    assert [each.name for each in sdk.webhooks.list(limit=2)] == names[::-1]
