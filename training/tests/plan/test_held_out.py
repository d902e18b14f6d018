"""What the plan of a training says about the held-out rows that will judge it."""

import pytest

from distillation.tests.drafts import make_draft
from models_app.contract.services import compiled
from modelstation import testing
from training.plan.estimate.estimates import Machine
from training.plan.services import plan_for

pytestmark = pytest.mark.django_db
MACHINE = Machine(is_measured=True, disk_free=100 << 30)


@pytest.fixture
def model(org):
    return testing.make_model(org, success_criteria=["exact match of at least 85 %"])


@pytest.fixture
def dataset(org, model):
    dataset = make_draft(org, rows=60, state="frozen", model=model)
    dataset.rows.update(split="train")
    held_out = list(dataset.rows.values_list("id", flat=True)[:9])
    dataset.rows.filter(id__in=held_out).update(split="test")
    return dataset


def estimate_of(model, dataset, contract_metric):
    model.metric, chosen = contract_metric, model.metric
    model.contract = compiled(model).to_json()
    model.metric = chosen
    return plan_for(model, {}, dataset=dataset, machine=MACHINE).estimate


def test_the_plan_says_how_many_held_out_rows_have_to_be_right(model, dataset):
    (said,) = [note for note in estimate_of(model, dataset, "").notes if "held-out" in note]
    assert said.startswith("“exact_match at least 85 %” of 9 held-out rows")
    assert "With 90 rows the mark itself is enough" in said


def test_a_chosen_metric_that_reads_no_held_out_row_is_refused_before_training(model, dataset):
    model.metric = "entity_f1"
    (refusal,) = estimate_of(model, dataset, "entity_f1").refusals
    assert refusal.code == "unreadable_rows"
    assert refusal.message.startswith("entity_f1 measures")


def test_a_metric_that_nobody_chose_refuses_nothing_and_is_said_not_to_read_the_rows(
    model, dataset
):
    estimate = estimate_of(model, dataset, "entity_f1")
    assert not estimate.refusals
    assert any(note.startswith("entity_f1 measures") for note in estimate.notes)
