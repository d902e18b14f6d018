"""Answers that a request wants stored: kept, found, labelled and deleted as OpenAI's clients do."""

from dataclasses import replace
from datetime import timedelta

import openai
import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Organization
from models_app.gateway.stored import services
from models_app.models import StoredCompletion
from models_app.serving import client as client_module
from models_app.tests.gateway.test_gateway import ASKED, events_of, live_model, post
from modelstation.testing import make_org

pytestmark = pytest.mark.django_db
CHAT = "/v1/chat/completions"


@pytest.fixture
def model(org):
    return live_model(org)


def stored_by(api, **change):
    response = post(api, store=True, **change)
    assert response.status_code == 200, response.content
    return response


# --- Strangers first ------------------------------------------------------------------------------


def test_a_stranger_sees_changes_and_deletes_nothing(api, stranger, server, model):
    one = stored_by(api).json()["id"]

    assert stranger.get(CHAT).json()["data"] == []
    for method in ("get", "delete"):
        assert getattr(stranger, method)(f"{CHAT}/{one}").status_code == 404
    change = {"metadata": {"a": "b"}}
    assert stranger.post(f"{CHAT}/{one}", change, format="json").status_code == 404
    assert stranger.get(f"{CHAT}/{one}/messages").status_code == 404
    assert StoredCompletion.objects.get().metadata == {}


# --- What is kept ---------------------------------------------------------------------------------


def test_nothing_is_kept_of_a_request_that_does_not_want_it(api, server, model):
    for change in ({}, {"store": False}, {"metadata": {"a": "b"}}):
        assert post(api, **change).status_code == 200
    assert not StoredCompletion.objects.exists()


def test_a_request_that_does_not_want_it_asks_the_database_nothing_more(api, server, model):
    post(api)
    with CaptureQueriesContext(connection) as plain:
        post(api)
    assert not any("stored" in query["sql"] for query in plain.captured_queries)


def test_question_answer_version_and_labels_are_kept(api, server, model):
    answer = stored_by(api, metadata={"flow": "triage"}, temperature=0.5).json()

    row = StoredCompletion.objects.get()
    assert (row.completion_id, row.model, row.version) == (answer["id"], model, model.live_version)
    assert [turn["role"] for turn in row.messages] == ["system", "user"]
    assert (row.question, row.answer) == ("My card is lost", "lost_card")
    kept = api.get(f"{CHAT}/{answer['id']}").json()
    assert kept["metadata"] == {"flow": "triage"}
    assert kept["choices"] == answer["choices"]
    assert kept["usage"] == answer["usage"]
    assert kept["temperature"] == 0.5


def test_a_stream_is_kept_when_it_is_complete(api, server, model):
    response = stored_by(api, stream=True)
    events = response.streaming_content
    next(events)
    assert not StoredCompletion.objects.exists()
    assert b"[DONE]" in b"".join(events)
    assert StoredCompletion.objects.get().answer == "lost_card"


def test_a_stream_that_the_client_leaves_is_not_kept(api, server, model):
    response = stored_by(api, stream=True)
    next(response.streaming_content)
    response._iterator.close()
    assert not StoredCompletion.objects.exists()


def test_a_failure_to_store_does_not_cost_the_answer(api, server, model, monkeypatch):
    def fail(**_):
        raise DatabaseError("no room")

    monkeypatch.setattr(services.StoredCompletion.objects, "create", fail)
    assert stored_by(api).json()["choices"][0]["message"]["content"] == "lost_card"
    assert events_of(stored_by(api, stream=True))[-1] == "[DONE]"


def test_an_answer_with_a_character_that_the_database_refuses_is_kept_without_it(
    api, server, model, monkeypatch
):
    answer = server.generate
    monkeypatch.setattr(
        client_module, "generate", lambda *a, **k: replace(answer(*a, **k), text="nul \x00!")
    )
    stored_by(api)
    assert StoredCompletion.objects.get().answer == "nul !"


@pytest.mark.parametrize(
    "metadata",
    [{str(n): "x" for n in range(17)}, {"k": "v" * 513}, {"k" * 65: "v"}, {"k": 1}, ["k"]],
)
def test_labels_beyond_openais_limits_are_refused_before_the_model_answers(
    api, server, model, metadata
):
    response = post(api, store=True, metadata=metadata)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("metadata")
    assert server.calls == []


# --- The organisation's say -----------------------------------------------------------------------


def test_an_organisation_that_allows_no_storing_has_nothing_stored(api, server, model, org):
    Organization.objects.filter(pk=org.pk).update(store_completions=False)
    assert stored_by(api).status_code == 200
    assert not StoredCompletion.objects.exists()


def test_what_is_older_than_its_organisation_keeps_it_is_deleted(api, server, model, org):
    other = make_org("Other")
    Organization.objects.filter(pk=other.pk).update(stored_days=90)
    for owner, days in ((org, 31), (org, 29), (other, 31), (other, 91)):
        row = StoredCompletion.objects.create(
            org=owner, completion_id=f"c{owner.slug}{days}", name="m", messages=[], choices=[],
            usage={},
        )  # fmt: skip
        at = timezone.now() - timedelta(days=days)
        StoredCompletion.objects.filter(pk=row.pk).update(created_at=at)

    services.delete_expired()

    left = set(StoredCompletion.objects.values_list("completion_id", flat=True))
    assert left == {"cacme29", "cother31"}


def test_an_organisation_deletes_its_own_and_only_its_own(api, stranger, server, model, alice, org):
    stored_by(api)
    other = StoredCompletion.objects.create(
        org=make_org("Other"), completion_id="c", name="m", messages=[], choices=[], usage={}
    )
    response = api.delete("/api/v1/organization/stored-completions")
    assert (response.status_code, response.json()) == (200, {"deleted": 1})
    assert list(StoredCompletion.objects.all()) == [other]


def test_settings_are_changed_over_the_api(api, org):
    change = {"store_completions": False, "stored_days": 7, "allow_hub_search": False}
    body = api.patch("/api/v1/organization", change, format="json").json()
    assert {name: body[name] for name in change} == change
    assert api.patch("/api/v1/organization", {"stored_days": 0}, format="json").status_code == 400


# --- The unmodified client ------------------------------------------------------------------------


@pytest.fixture
def client(live_server, org, alice):
    from accounts.services import create_token

    _, secret = create_token(actor=alice, org=org, name="openai")
    return openai.OpenAI(base_url=f"{live_server.url}/v1", api_key=secret, max_retries=0)


@pytest.mark.django_db(transaction=True)
def test_openais_client_stores_lists_labels_and_deletes(client, server, model):
    made = [
        client.chat.completions.create(**ASKED, store=True, metadata={"n": str(n)})
        for n in range(3)
    ]
    listed = list(client.chat.completions.list(limit=2))
    assert [one.id for one in listed] == [one.id for one in made]
    newest = client.chat.completions.list(order="desc", limit=1).data[0]
    assert newest.id == made[2].id
    [second] = client.chat.completions.list(metadata={"n": "1"}).data
    assert second.id == made[1].id
    assert client.chat.completions.list(model="other").data == []

    changed = client.chat.completions.update(second.id, metadata={"n": "9", "seen": "yes"})
    assert changed.metadata == {"n": "9", "seen": "yes"}
    assert client.chat.completions.retrieve(second.id).choices[0].message.content == "lost_card"
    messages = client.chat.completions.messages.list(second.id).data
    assert [(m.role, m.content) for m in messages][-1] == ("user", "My card is lost")

    assert client.chat.completions.delete(second.id).deleted
    assert [one.id for one in client.chat.completions.list()] == [made[0].id, made[2].id]
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(second.id)
