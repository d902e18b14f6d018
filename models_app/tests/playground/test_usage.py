"""What is asked in the playground is used: counted, shown and limited like what programs ask."""

import pytest
from django.urls import reverse

from models_app.models import UsageCounter, UsageLimit, UsageRecord
from models_app.tests.playground import test_playground
from models_app.tests.playground.test_playground import (
    answered,
    asked,
    make_version,
    streamed,
    url,
)
from modelstation.core.errors import UserFacingError
from modelstation.testing import let_go, make_model

pytestmark = pytest.mark.django_db
BOTH = [answered, streamed]
server = test_playground.server


@pytest.fixture
def version(org):
    return make_version(make_model(org, status="ready"), 1)


def used(org):
    records = UsageRecord.objects.for_org(org).order_by("model")
    return [(r.model, r.version, r.token, r.prompt_tokens, r.completion_tokens) for r in records]


@pytest.mark.parametrize("ask", BOTH)
def test_a_strangers_organisation_pays_nothing(as_bob, charlie, server, version, ask):
    ask(as_bob, version)

    elsewhere = charlie.organizations.get()
    assert used(elsewhere) == []
    assert not UsageCounter.objects.filter(key=f"tokens:org:{elsewhere.id}").exists()


@pytest.mark.parametrize("ask", BOTH)
def test_each_answer_is_counted_under_its_model_and_no_token(as_bob, org, server, version, ask):
    ask(as_bob, version)

    assert used(org) == [
        ("bank-intents", version, None, 1207, 2),
        ("smollm2-135m-instruct", None, None, 1207, 2),
    ]
    assert UsageCounter.objects.get(key=f"tokens:org:{org.id}").count == 2 * 1209


def test_a_failure_is_no_use(as_bob, org, server, version):
    server.fails = {"v1": UserFacingError("Too long.", code="context_length_exceeded")}
    answered(as_bob, version)
    streamed(as_bob, version)

    assert [row[0] for row in used(org)] == ["smollm2-135m-instruct"] * 2


@pytest.mark.django_db(transaction=True)  # the server closes the connection of who leaves
def test_what_was_written_for_a_reader_that_left_is_counted(as_bob, org, server, version):
    server.says = {"v1": "for ever"}
    response = as_bob.post(url("playground_stream", version.model), asked(version))
    events = iter(response.streaming_content)
    while b'"tuned"' not in next(events).partition(b"event: piece")[2]:
        pass

    let_go(response)

    told = {name: written for name, _, _, _, written in used(org)}
    assert told["bank-intents"] >= 1
    assert set(told) == {"bank-intents", "smollm2-135m-instruct"}


@pytest.mark.django_db(transaction=True)
def test_a_version_that_goes_meanwhile_is_counted_all_the_same(as_bob, org, server, version):
    server.says = {"base": "for ever"}
    response = as_bob.post(url("playground_stream", version.model), asked(version))
    events = iter(response.streaming_content)
    next(events)
    version.delete()
    server.goes_on.set()
    assert b"event: end" in b"".join(events)
    let_go(response)

    assert {name for name, *_ in used(org)} == {"bank-intents", "smollm2-135m-instruct"}


# --- The quota ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["playground_answer", "playground_stream"])
def test_a_used_up_quota_is_told_and_nothing_is_asked(as_bob, org, server, version, name):
    UsageLimit.objects.create(org=org, tokens_per_day=2000)
    answered(as_bob, version)  # the last that is let in may go over it
    server.asked.clear()

    refused = as_bob.post(url(name, version.model), asked(version))

    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert "has used its 2,000 tokens of today" in refused.content.decode()
    assert server.asked == {}


def test_the_playground_and_the_api_have_one_quota(as_bob, api_for, bob, org, server, version):
    UsageLimit.objects.create(org=org, tokens_per_day=2000)
    answered(as_bob, version)

    ask = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}]}
    refused = api_for(bob).post("/v1/chat/completions", ask, format="json")

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")


def test_requests_a_minute_are_a_matter_of_tokens(as_bob, org, server, version):
    UsageLimit.objects.create(org=org, requests_per_minute=1)
    for _ in range(2):
        assert answered(as_bob, version).status_code == 200


# --- What is told ---------------------------------------------------------------------------------


def test_the_usage_page_and_its_api_call_it_by_its_name(as_alice, api_for, alice, server, version):
    answered(as_alice, version)

    page = as_alice.get(reverse("usage", args=["acme"])).content.decode()
    assert "bank-intents" in page
    assert '<td class="wrap">playground</td>' in page
    rows = api_for(alice).get("/api/v1/usage", {"group_by": "token"}).json()["data"]
    assert [(row["token"], row["token_id"], row["requests"]) for row in rows] == [
        ("playground", None, 2)
    ]
