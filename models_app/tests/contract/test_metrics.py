"""Which metric a model may be compared by: each one of the table, by form and by API."""

import pytest
from django.urls import reverse

from models_app.forms import ModelDraftForm
from models_app.models import CustomModel
from modelstation import testing
from training.scoring.metrics import METRICS, MODEL_METRICS

pytestmark = pytest.mark.django_db
TABLE = "Table: people (name text, age integer). Who is 3?"


def draft(name, **values):
    (kind, *_) = METRICS[name].task_kinds or ("classify",)
    made = {"name": "Router", "requirement": testing.REQUIREMENT, "metric": name}
    return made | {"intent_edits": {"task_kind": kind}} | values


@pytest.mark.parametrize("name", MODEL_METRICS)
def test_every_metric_of_the_table_can_be_a_models(api_for, alice, name):
    testing.make_base()
    response = api_for(alice).post("/api/v1/models", draft(name), format="json")
    assert response.status_code == 201, response.json()
    assert CustomModel.objects.get(id=response.json()["id"]).contract["metric"] == name


@pytest.mark.parametrize("name", MODEL_METRICS)
def test_every_metric_can_be_chosen_in_the_form_and_is_said_in_words(name, org):
    form = ModelDraftForm({"name": "R", "requirement": "x" * 20, "rows": 100, "metric": name})
    assert form.is_valid(), form.errors
    assert form.draft.metric == name
    assert METRICS[name].words.replace("“", "") in str(form["metric"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"metric": "macro_f1", "intent_edits": {"task_kind": "generate"}}, "understood as “Write"),
        ({"metric": "execution_accuracy"}, "kind “Write SQL”"),
        ({"metric": "label_recall"}, "write it as a success criterion"),
        ({"metric": "refusal"}, "Less of refusal is better"),
        (
            {
                "metric": "execution_accuracy",
                "intent_edits": {"task_kind": "sql"},
                "test_rows": [{"input": "How many?", "output": "SELECT count(*) FROM people"}],
            },
            "no held-out row has tables",
        ),
    ],
)
def test_one_that_cannot_be_measured_is_refused_by_its_field(api_for, alice, values, said):
    testing.make_base()
    body = {"name": "R", "requirement": testing.REQUIREMENT, **values}
    response = api_for(alice).post("/api/v1/models", body, format="json")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "metric")
    assert said in response.json()["error"]["message"]
    assert not CustomModel.objects.exists()


def test_sql_is_executed_where_a_held_out_row_names_its_table(api_for, alice):
    testing.make_base()
    rows = [{"input": TABLE, "output": "SELECT name FROM people WHERE age = 3"}]
    body = draft("execution_accuracy", test_rows=rows)
    assert api_for(alice).post("/api/v1/models", body, format="json").status_code == 201


def test_a_metric_that_does_not_suit_is_said_at_its_field_and_in_the_preview(as_bob, org):
    model = testing.make_model(org)
    typed = {"success_criteria": "", "metric": "execution_accuracy", "test_rows": ""}
    page = as_bob.post(reverse("model_contract", args=["acme", model.id]), typed)
    assert "kind “Write SQL”" in str(page.context["form"].errors["metric"])
    part = as_bob.post(reverse("model_contract_preview", args=["acme", model.id]), typed)
    assert "kind “Write SQL”" in part.content.decode()
    model.refresh_from_db()
    assert model.metric == ""


def test_pages_stay_readable_when_the_task_is_corrected_after_the_metric(as_bob, org):
    model = testing.make_model(
        org, metric="macro_f1", intent_edits={"task_kind": "generate"}, status="ready"
    )
    page = as_bob.get(reverse("model", args=["acme", model.id]))
    assert page.status_code == 200
    assert "understood as “Write a text”" in page.content.decode()
