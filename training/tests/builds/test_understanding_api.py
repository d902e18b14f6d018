import pytest
from rest_framework.test import APIClient

from models_app.models import CustomModel
from modelstation.core.models import Job
from modelstation.testing import REQUIREMENT, make_base, make_model

pytestmark = pytest.mark.django_db
URL = "/api/v1/intents"
REQUEST = {
    "requirement": REQUIREMENT,
    "policy": "One of: lost_card, card_arrival.",
    "examples": [{"input": "My card has been lost on the way to me", "output": "lost_card"}],
}
LABELS = ["order", "return", "complaint", "other"]
CLEAR = {
    "requirement": "Our shop gets about 400 mails a day and we sort them by hand.",
    "objective": "Classify each e-mail into one of four categories.",
    "policy": "Answer with exactly one of these labels: order, return, complaint, other.",
    "examples": [
        {"input": "Where is my parcel?", "output": "order"},
        {"input": "I want to send it back", "output": "return"},
    ],
}
UNCLEAR = CLEAR | {"examples": [*CLEAR["examples"], {"input": "Well done", "output": "Praise"}]}
MODELS = "/api/v1/models"
NEW = {"name": "Mails", "base": "smollm2-135m-instruct"}


@pytest.fixture
def api(api_for, bob):
    make_base()
    return api_for(bob)


def test_without_a_token_nothing_is_said(org):
    assert APIClient().post(URL, REQUEST, format="json").status_code == 401


def test_a_draft_is_explained_and_nothing_is_made(api):
    body = api.post(URL, REQUEST, format="json").json()
    assert (body["task_kind"], body["labels_closed"]) == ("classify", True)
    assert body["labels"] == ["lost_card", "card_arrival"]
    assert body["system_prompt"] == "One of: lost_card, card_arrival."
    assert body["language"] == "en"
    sentences = {line["what"]: line["sentence"] for line in body["explanation"]}
    assert "one of 2 labels: lost_card, card_arrival" in sentences["Task"]
    assert not CustomModel.objects.exists()
    assert not Job.objects.exists()


def test_corrections_and_the_rest_of_a_model_may_come_along(api):
    schema = {"type": "object", "required": ["city"]}
    edits = {"task_kind": "extract_json", "json_schema": schema, "language": "de"}
    whole = REQUEST | {"name": "Cities", "rows": 100, "intent_edits": edits}
    body = api.post(URL, whole, format="json").json()
    assert {name: body[name] for name in edits} == edits


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"requirement": "short"}, "requirement"),
        ({"intent_edits": {"labels": ["one"]}}, "intent_edits"),
        ({"examples": [{"input": "a"}]}, "examples.0.output"),
        ({"poem": 1}, "poem"),
    ],
)
def test_a_bad_draft_names_its_field(api, change, param):
    response = api.post(URL, REQUEST | change, format="json")
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_what_is_clear_has_no_questions(api):
    assert api.post(URL, CLEAR, format="json").json()["questions"] == []


def test_what_is_in_doubt_comes_back_as_questions_with_corrections_as_choices(api):
    question = api.post(URL, UNCLEAR, format="json").json()["questions"][0]
    assert question["field"] == "labels"
    assert "“Praise”" in question["sentence"]
    assert question["choices"][0]["intent_edits"]["labels"] == LABELS


def test_examples_outside_of_the_labels_are_named(api):
    body = api.post(URL, UNCLEAR, format="json").json()
    assert body["examples_outside"] == ["Praise"]
    sentences = {line["what"]: line["sentence"] for line in body["explanation"]}
    assert "“Praise”" in sentences["Examples"]


def test_labels_may_be_described(api):
    edits = {"labels": ["order", "return"], "label_descriptions": {"order": "asks for a parcel"}}
    body = api.post(URL, CLEAR | {"intent_edits": edits}, format="json").json()
    assert body["label_descriptions"] == {"order": "asks for a parcel"}
    assert {"text": "order: asks for a parcel", "origin": "label"} in body["queries"]


@pytest.mark.parametrize("wrong", [["a"], {"order": 1}, {"order": "x" * 400}])
def test_descriptions_that_make_no_sense_are_refused(api, wrong):
    response = api.post(URL, CLEAR | {"intent_edits": {"label_descriptions": wrong}}, format="json")
    assert response.json()["error"]["param"] == "intent_edits"


# --- before a build -------------------------------------------------------------------------------


def test_a_model_of_which_something_is_in_doubt_is_not_built_before_it_is_confirmed(api):
    response = api.post(MODELS, NEW | UNCLEAR, format="json")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (409, "needs_confirmation")
    assert error["questions"][0]["field"] == "labels"
    assert not CustomModel.objects.exists()


def test_the_choice_of_an_answer_confirms(api):
    error = api.post(MODELS, NEW | UNCLEAR, format="json").json()["error"]
    edits = {}
    for question in error["questions"]:
        edits |= question["choices"][1]["intent_edits"]
    response = api.post(MODELS, NEW | UNCLEAR | {"intent_edits": edits}, format="json")
    assert response.status_code == 201
    assert CustomModel.objects.get().intent_edits["labels"] == [*LABELS, "Praise"]


def test_confirm_builds_from_what_is_understood(api):
    response = api.post(MODELS, NEW | UNCLEAR | {"confirm": True}, format="json")
    assert (response.status_code, CustomModel.objects.get().intent_edits) == (201, {})


def test_what_is_clear_is_built_at_once(api):
    assert api.post(MODELS, NEW | CLEAR, format="json").status_code == 201


def test_a_key_of_a_request_that_was_not_confirmed_may_be_used_again(api):
    headers = {"Idempotency-Key": "one"}
    assert api.post(MODELS, NEW | UNCLEAR, format="json", headers=headers).status_code == 409
    confirmed = NEW | UNCLEAR | {"confirm": True}
    assert api.post(MODELS, confirmed, format="json", headers=headers).status_code == 201


def test_a_compiled_prompt_is_compiled_anew_when_the_labels_it_names_are_corrected(api, org, bob):
    named = "Sort it. Answer with one of: a, b."
    model = make_model(org, objective="Sort it.", policy="", system_prompt=named)
    wanted = {"intent_edits": {"labels": ["a", "c"]}}
    assert api.patch(f"/api/v1/models/{model.id}", wanted, format="json").status_code == 200
    model.refresh_from_db()
    assert model.system_prompt == ""


def test_a_prompt_of_the_users_own_stays_when_labels_are_corrected(api, org, bob):
    model = make_model(org, objective="Sort it.", policy="", system_prompt="Mine: a or b.")
    wanted = {"intent_edits": {"labels": ["a", "c"]}}
    assert api.patch(f"/api/v1/models/{model.id}", wanted, format="json").status_code == 200
    model.refresh_from_db()
    assert model.system_prompt == "Mine: a or b."
