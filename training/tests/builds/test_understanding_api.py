import pytest
from rest_framework.test import APIClient

from models_app.models import CustomModel
from modelstation.core.models import Job
from modelstation.testing import REQUIREMENT

pytestmark = pytest.mark.django_db
URL = "/api/v1/intents"
REQUEST = {
    "requirement": REQUIREMENT,
    "policy": "One of: lost_card, card_arrival.",
    "examples": [{"input": "My card has been lost on the way to me", "output": "lost_card"}],
}


@pytest.fixture
def api(api_for, bob):
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
