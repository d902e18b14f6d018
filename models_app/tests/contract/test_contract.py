"""The acceptance contract: who sees it, how it reads, when it is frozen, what happens then."""

import re

import pytest

from accounts.models import AuditEntry
from distillation import runner as distillation_runner
from models_app import services
from models_app.contract.services import (
    WRITE_INSTEAD,
    Contract,
    compiled,
    contract_of,
    edit_contract,
)
from models_app.models import CustomModel, IdempotentRequest
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.models import Job
from training.builds import services as builds

pytestmark = pytest.mark.django_db
CRITERIA = ["exact match at least 80 %", "It must feel friendly."]
ROWS = [{"input": "hello", "output": "greeting"}]


@pytest.fixture
def model(org):
    return testing.make_model(org, success_criteria=CRITERIA)


@pytest.fixture
def frozen(model):
    services.begin_stage(model.id, CustomModel.Status.DISTILLING)
    model.refresh_from_db()
    return model


def address(model, action="contract"):
    return f"/api/v1/models/{model.id}/{action}"


@pytest.mark.parametrize(
    ("method", "action"), [("get", "contract"), ("put", "contract"), ("post", "copy")]
)
def test_a_stranger_gets_404_for_a_contract(api_for, charlie, model, method, action):
    stranger = api_for(charlie, charlie.organizations.get())
    response = getattr(stranger, method)(address(model, action), {"metric": ""}, format="json")
    assert response.status_code == 404
    assert CustomModel.objects.count() == 1


def test_the_contract_reads_in_plain_words_and_says_what_was_not_understood(api_for, bob, model):
    shown = api_for(bob).get(address(model)).json()
    assert [check["metric"] for check in shown["checks"]] == [
        "exact_match",
        "beats_base",
        "not_worse_than_rival",
    ]
    assert all(check["words"] for check in shown["checks"])
    (unread,) = shown["unread"]
    assert unread["sentence"] == "It must feel friendly."
    assert "exact match of at least 90 %" in unread["hint"]
    assert not shown["is_frozen"]


def test_what_is_said_to_write_instead_is_understood(model):
    model.success_criteria = re.findall("“(.+?)”", WRITE_INSTEAD)
    contract = compiled(model)
    assert len(model.success_criteria) == 4
    assert contract.unread == []


def test_the_metric_is_chosen_from_the_kind_of_task(api_for, bob, model):
    shown = api_for(bob).get(address(model)).json()
    assert (shown["metric"], shown["is_metric_automatic"]) == ("exact_match", True)


def test_a_model_made_by_api_has_its_contract_at_once(api_for, alice):
    testing.make_base()
    body = {"name": "Router", "requirement": testing.REQUIREMENT, "success_criteria": CRITERIA}
    made = api_for(alice).post("/api/v1/models", body, format="json").json()
    model = CustomModel.objects.get(id=made["id"])
    assert model.contract["written"] == CRITERIA
    assert len(model.contract_digest) == 64
    assert made["links"]["contract"].endswith(address(model))


def test_a_contract_is_edited_until_it_is_frozen(api_for, bob, model, org):
    before = contract_of(model).digest
    body = {"criteria": ["macro F1 of at least 0.7"], "metric": "token_f1", "test_rows": ROWS}
    shown = api_for(bob).put(address(model), body, format="json").json()

    assert shown["checks"][0]["metric"] == "macro_f1"
    assert (shown["metric"], shown["test_row_count"]) == ("token_f1", 1)
    assert shown["digest"] != before
    model.refresh_from_db()
    assert (model.metric, model.test_rows) == ("token_f1", ROWS)
    entry = AuditEntry.objects.get(org=org, action="model.edit_contract")
    assert entry.data["fields"] == ["metric", "success_criteria", "test_rows"]


def test_the_digest_changes_with_each_part_and_with_nothing_else(model, alice):
    seen = {contract_of(model).digest}
    for changes in (
        {"success_criteria": ["exact match at least 81 %"]},
        {"metric": "token_f1"},
        {"test_rows": ROWS},
    ):
        seen.add(edit_contract(actor=alice, model=model, changes=changes).contract_digest)
    assert len(seen) == 4
    model.refresh_from_db()
    assert contract_of(model).digest == model.contract_digest


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, ""),
        ({"metric": "charm"}, "metric"),
        ({"test_rows": [{"input": "x", "output": " "}]}, "test_rows.0.output"),
        ({"criterion": ["x"]}, "criterion"),
    ],
)
def test_what_cannot_be_a_contract_is_refused_by_its_field(api_for, bob, model, body, param):
    response = api_for(bob).put(address(model), body, format="json")
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    model.refresh_from_db()
    assert model.contract == {}


# --- frozen -------------------------------------------------------------------------------------


def test_it_is_frozen_before_the_selection_looks_at_any_data(model, org, monkeypatch):
    job = Job.objects.create(org=org, kind="distil", queue="distil", subject_id=model.id)

    def select(model, config, lease):
        assert CustomModel.objects.get(id=model.id).contract_frozen_at
        raise UserFacingError("That is all that this test needs.")

    monkeypatch.setattr(distillation_runner, "_select", select)
    with pytest.raises(UserFacingError, match="all that this test needs"):
        distillation_runner.distil(job, lease=None)


def test_a_frozen_contract_is_not_changed_and_clients_do_not_ask_again(api_for, bob, frozen):
    response = api_for(bob).put(address(frozen), {"metric": "token_f1"}, format="json")

    assert response.status_code == 409
    assert response.headers["x-should-retry"] == "false"
    error = response.json()["error"]
    assert error["code"] == "contract_frozen"
    assert "copy" in error["hint"]
    frozen.refresh_from_db()
    assert frozen.metric == ""


def test_a_conflict_that_passes_may_be_requested_again(api_for, bob, frozen):
    response = api_for(bob).post(address(frozen, "rebuild"))
    assert (response.status_code, response.json()["error"]["code"]) == (409, "already_building")
    assert "x-should-retry" not in response.headers


def test_a_frozen_contract_stays_what_it_was_when_the_intent_is_corrected(frozen, alice):
    digest = frozen.contract_digest
    builds.correct_intent(actor=alice, model=frozen, changes={"task_kind": "generate"})
    services.begin_stage(frozen.id, CustomModel.Status.TRAINING)
    frozen.refresh_from_db()
    assert (frozen.contract_digest, frozen.contract["metric"]) == (digest, "exact_match")
    assert AuditEntry.objects.filter(action="model.freeze_contract").count() == 1


def test_a_contract_frozen_by_an_earlier_release_is_read_as_it_was_stored(api_for, bob, frozen):
    stored = dict(frozen.contract)
    assert Contract.from_json(stored).to_json() == stored
    del stored["checks_digest"]  # the very first ones
    CustomModel.objects.filter(id=frozen.id).update(contract=stored)
    shown = api_for(bob).get(address(frozen)).json()
    assert (shown["digest"], shown["checks"]) == (stored["digest"], stored["checks"])


# --- a copy -------------------------------------------------------------------------------------


def test_a_copy_keeps_everything_and_opens_the_contract(api_for, bob, frozen):
    CustomModel.objects.filter(id=frozen.id).update(test_rows=ROWS, policy="Be polite.", rows=77)
    api = api_for(bob)
    made = api.post(address(frozen, "copy"))

    assert made.status_code == 201
    copy = CustomModel.objects.get(id=made.json()["id"])
    assert made.headers["Location"].endswith(f"/api/v1/models/{copy.id}")
    assert (copy.status, copy.slug, copy.created_by) == ("draft", "bank-intents-copy", bob)
    assert (copy.test_rows, copy.policy, copy.rows) == (ROWS, "Be polite.", 77)
    assert copy.success_criteria == CRITERIA
    assert not Job.objects.filter(subject_id=copy.id).exists()
    edited = api.put(address(copy), {"metric": "token_f1"}, format="json")
    assert edited.json()["metric"] == "token_f1"
    assert api.post(address(copy, "rebuild")).json()["status"] == "pending"


def test_a_copy_requested_twice_with_one_key_is_made_once(api_for, bob, frozen):
    api = api_for(bob)
    first, second = (
        api.post(address(frozen, "copy"), headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert CustomModel.objects.count() == 2
    assert IdempotentRequest.objects.count() == 1
