"""Pages of contract and versions."""

import pytest
from django.urls import reverse

from models_app import services
from models_app.models import CustomModel, Promotion
from modelstation import testing

pytestmark = pytest.mark.django_db
ROW = '{"input": "hi", "output": "greeting"}'


@pytest.fixture
def model(org):
    return testing.make_model(
        org, status="ready", success_criteria=["exact match at least 80 %", "Be <b>kind</b>."]
    )


@pytest.fixture
def frozen(model):
    services.begin_stage(model.id, CustomModel.Status.READY)
    return model


def make_version(model, number, **fields):
    return testing.make_version(model, number, **{"state": "ready"} | fields)


def url(name, *args):
    return reverse(name, args=["acme", *args])


def text_of(response):
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_a_stranger_sees_and_changes_no_contract(as_charlie, model):
    assert as_charlie.get(url("model_contract", model.id)).status_code == 404
    values = {"metric": "token_f1"}
    assert as_charlie.post(url("model_contract", model.id), values).status_code == 404
    assert as_charlie.post(url("model_copy", model.id)).status_code == 404
    assert CustomModel.objects.get().metric == ""


# --- the contract -------------------------------------------------------------------------------


def test_criteria_are_shown_back_while_they_are_typed(as_bob, org):
    typed = {"requirement": testing.REQUIREMENT, "success_criteria": "exact match >= 0.9\nBe nice."}
    part = text_of(as_bob.post(url("contract_preview"), typed))
    assert "<html" not in part
    assert "from “exact match &gt;= 0.9”" in part
    assert "No check could be read out of “Be nice.”" in part


def test_a_preview_of_nothing_yet_is_no_error(as_bob, org):
    assert "<li>" in text_of(as_bob.post(url("contract_preview"), {"name": "", "rows": "x"}))


def test_the_new_models_page_asks_for_the_preview(as_bob, org):
    page = text_of(as_bob.get(url("model_new")))
    assert f'hx-post="{url("contract_preview")}"' in page


def test_what_was_understood_comes_with_the_contract(as_bob, org):
    testing.make_base()
    values = {"name": "R", "requirement": testing.REQUIREMENT, "rows": 100}
    page = as_bob.post(url("model_understood"), values | {"success_criteria": "token f1 >= 0.5"})
    assert "from “token f1 &gt;= 0.5”" in text_of(page)


def test_the_models_page_shows_the_contract_and_escapes_what_was_not_read(as_bob, model):
    page = text_of(as_bob.get(url("model", model.id)))
    assert "Be &lt;b&gt;kind&lt;/b&gt;." in page
    assert url("model_contract", model.id) in page
    assert "Copy as a new model" not in page


def test_the_contract_says_how_many_held_out_rows_a_criterion_needs(as_bob, model):
    page = text_of(as_bob.get(url("model", model.id)))
    assert "“exact_match at least 80 %” of 100 held-out rows needs 80 right." in page


def test_an_open_contract_is_edited_on_its_page(as_bob, model):
    page = text_of(as_bob.get(url("model_contract", model.id)))
    assert "exact match at least 80 %" in page
    values = {"success_criteria": "macro f1 >= 0.7", "metric": "token_f1", "test_rows": ROW}
    assert as_bob.post(url("model_contract", model.id), values).status_code == 302
    model.refresh_from_db()
    assert (model.success_criteria, model.metric) == (["macro f1 >= 0.7"], "token_f1")
    assert model.test_rows == [{"input": "hi", "output": "greeting"}]


def test_an_edited_contract_is_read_back_before_it_is_saved_and_nothing_is_kept(as_bob, model):
    typed = {"success_criteria": "at leest 90 pct good", "metric": "token_f1", "test_rows": ""}
    part = text_of(as_bob.post(url("model_contract_preview", model.id), typed))
    assert "No check could be read out of “at leest 90 pct good”" in part
    assert "Measured in <code>token_f1</code>" in part
    model.refresh_from_db()
    assert (model.metric, len(model.success_criteria)) == ("", 2)


def test_a_criterion_that_cannot_be_read_is_said_when_it_is_saved(as_bob, model):
    typed = {"success_criteria": "at leest 90 pct good", "metric": "", "test_rows": ""}
    page = as_bob.post(url("model_contract", model.id), typed, follow=True)
    assert "“at leest 90 pct good” will not be measured." in text_of(page)


def test_a_row_without_an_answer_is_refused_at_its_field(as_bob, model):
    values = {"test_rows": '{"input": "hi", "output": " "}'}
    response = as_bob.post(url("model_contract", model.id), values)
    assert "has no output" in str(response.context["form"].errors["test_rows"])


def test_a_frozen_contract_offers_a_copy_in_place_of_a_form(as_bob, frozen):
    page = text_of(as_bob.get(url("model_contract", frozen.id)))
    assert "Save the contract" not in page
    assert "Copy as a new model" in page
    refused = as_bob.post(url("model_contract", frozen.id), {"metric": "token_f1"})
    assert "cannot change any more" in text_of(refused)
    assert CustomModel.objects.get().metric == ""


def test_a_copy_is_built_when_somebody_says_so(as_bob, frozen):
    as_bob.post(url("model_copy", frozen.id))
    copy = CustomModel.objects.exclude(id=frozen.id).get()
    page = text_of(as_bob.get(url("model", copy.id)))
    assert "Nothing is built yet" in page
    assert "Build it" in page
    as_bob.post(url("model_rebuild", copy.id))
    copy.refresh_from_db()
    assert copy.status == "pending"


# --- versions -----------------------------------------------------------------------------------


@pytest.fixture
def versions(model, alice):
    """v1 was live, v2 is, v3 failed."""
    first, second = (make_version(model, number) for number in (1, 2))
    third = make_version(model, 3, state="draft", scores={"verdict": "fail"})
    for version, actor in ((first, None), (second, alice)):
        Promotion.objects.create(org=model.org, model=model, version=version, actor=actor)
    CustomModel.objects.filter(id=model.id).update(live_version=second)
    return [first, second, third]


def test_versions_say_who_promoted_them_and_what_speaks_against_them(as_alice, model, versions):
    page = text_of(as_alice.get(url("model", model.id)))
    assert "by alice@example.org" in page
    assert "by its evaluation" in page
    assert "Version 3 has not met its success criteria" in page
    assert "Roll back to v1" in page


def test_a_member_is_offered_no_override(as_bob, as_alice, model, versions):
    assert "Publish anyway" in text_of(as_alice.get(url("model", model.id)))
    assert "Publish anyway" not in text_of(as_bob.get(url("model", model.id)))


def test_an_override_on_the_page_needs_an_admin_and_a_reason(as_bob, as_alice, model, versions):
    address = url("version_publish", versions[2].id)
    assert as_bob.post(address, {"reason": "I say so."}).status_code == 403
    refused = as_alice.post(address, {"reason": "  "})
    assert refused.status_code == 400
    assert "has not met its success criteria" in refused.content.decode()
    assert as_alice.post(address, {"reason": "A pilot."}).status_code == 302
    assert CustomModel.objects.get().live_version == versions[2]
    assert "against its evaluation: A pilot." in text_of(as_alice.get(url("model", model.id)))


def test_rolling_back_is_one_press(as_bob, model, versions):
    as_bob.post(url("model_rollback", model.id))
    assert CustomModel.objects.get().live_version == versions[0]
    assert "Roll back" not in text_of(as_bob.get(url("model", model.id)))


def test_many_versions_take_as_many_queries_as_few(
    as_bob, model, versions, django_assert_max_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    as_bob.get(url("model", model.id))
    with CaptureQueriesContext(connection) as few:
        as_bob.get(url("model", model.id))
    for number in range(4, 9):
        version = make_version(model, number)
        Promotion.objects.create(org=model.org, model=model, version=version)
    with django_assert_max_num_queries(len(few)):
        as_bob.get(url("model", model.id))
