"""/api/v1/models/{id}/inputs: bring, list in the order to ask, answer, take over, look."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.services import create_token
from distillation.tests.labelling.played import a_model, messages, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(org):
    return a_model(org)


@pytest.fixture
def call(client, bob, org):
    """`call("get", "/summary")`, as bob of Acme, by his token."""
    return caller(client, bob, org)


def caller(client, user, org):
    _, secret = create_token(actor=user, org=org, name="labels")

    def call(method, url, body=None, **headers):
        data = None if body is None else json.dumps(body)
        headers |= {"Authorization": f"Bearer {secret}"}
        return client.generic(
            method.upper(), url, data or "", content_type="application/json", headers=headers
        )

    return call


def url(model, rest=""):
    return f"/api/v1/models/{model.id}/inputs{rest}"


def test_a_stranger_finds_no_inputs(client, model, org, charlie, call):
    call("post", url(model), {"inputs": ["a leak"]})
    row = model.inputs.inputs().get()
    strangers = caller(client, charlie, charlie.memberships.get().org)
    for method, rest, body in (
        ("get", "", None),
        ("post", "", {"inputs": ["mine"]}),
        ("get", "/summary", None),
        ("post", "/take-over", {}),
        ("get", f"/{row.id}", None),
        ("patch", f"/{row.id}", {"answer": "pests"}),
    ):
        assert strangers(method, url(model, rest), body).status_code == 404
    row.refresh_from_db()
    assert row.state == "open"


def test_an_input_of_another_model_is_not_found_under_this_one(model, org, call):
    other = a_model(org, name="Other")
    call("post", url(other), {"inputs": ["a leak"]})
    row = other.inputs.inputs().get()
    assert call("patch", url(model, f"/{row.id}"), {"answer": "pests"}).status_code == 404


def test_the_whole_way_by_the_api(model, call):
    truth = dict(messages(90))
    reply = call("post", url(model), {"inputs": [*truth, "", "a leak"]})
    assert reply.status_code == 201
    assert (reply.json()["added"], reply.json()["blank"]) == (91, 1)
    assert call("get", url(model, "/summary")).json()["is_busy"]
    work(model)
    truth["a leak"] = "plumbing"
    for _ in range(40):
        [row] = call("get", url(model, "?state=open&limit=1")).json()["results"]
        answer = {"answer": truth[row["text"]]}
        assert call("patch", url(model, f"/{row['id']}"), answer).json()["state"] == "answered"
    summary = call("get", url(model, "/summary")).json()
    assert summary["answered"] == sum(summary["labels"].values()) == 40
    assert summary["estimate"]["accuracy"]["low"] <= summary["estimate"]["accuracy"]["value"]
    assert call("post", url(model, "/take-over"), {"level": 0.1}).status_code == 200
    work(model)
    summary = call("get", url(model, "/summary")).json()
    assert (summary["stored_answered"], summary["is_busy"]) == (40, False)
    assert summary["source_id"]


def test_a_row_says_its_proposal_and_what_personal_data_it_holds(model, call):
    call("post", url(model), {"inputs": ["the tap leaks, mail me: kim@example.org"]})
    work(model)
    [row] = call("get", url(model)).json()["results"]
    assert row["flags"] == ["email"]
    assert row["proposal"] in ("plumbing", "electrical", "pests")
    assert (row["rank"], row["proposed_by"]) == (0, "")


def test_a_file_is_read_as_on_the_page(client, bob, org, model):
    _, secret = create_token(actor=bob, org=org, name="files")
    file = SimpleUploadedFile("mails.csv", b"id,body\n1,a leak\n2,mice\n")
    headers = {"Authorization": f"Bearer {secret}"}
    reply = client.post(url(model), {"file": file}, headers=headers)
    assert reply.status_code == 201, reply.content
    assert (reply.json()["added"], reply.json()["column"]) == (2, "body")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Give inputs or a file"),
        ({"inputs": []}, "no input in it"),
        ({"inputs": ["  "]}, "no input in it"),
        ({"inputs": "a leak"}, "list"),
        ({"inputs": ["a leak"], "labels": ["x"]}, "labels"),
    ],
)
def test_what_is_no_list_of_inputs_is_refused_in_a_sentence(model, call, body, words):
    reply = call("post", url(model), body)
    assert reply.status_code == 400
    assert words in reply.content.decode()
    assert not model.inputs.exists()


def test_a_wrong_answer_is_refused_and_names_the_labels(model, call):
    call("post", url(model), {"inputs": ["a leak"]})
    row = model.inputs.inputs().get()
    reply = call("patch", url(model, f"/{row.id}"), {"answer": "gardening"})
    assert reply.status_code == 400
    assert "plumbing, electrical, pests" in reply.content.decode()
    for body in ({}, {"answer": "pests", "state": "skipped"}, {"state": "answered"}):
        assert call("patch", url(model, f"/{row.id}"), body).status_code == 400


def test_the_same_request_twice_adds_once(model, call):
    for _ in range(2):
        reply = call("post", url(model), {"inputs": ["a leak"]}, **{"Idempotency-Key": "k"})
        assert (reply.status_code, reply.json()["added"]) == (201, 1)
