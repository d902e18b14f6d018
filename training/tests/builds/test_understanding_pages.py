"""What was understood, as people see it and put it right: whom it lets in, and that nothing runs
before they say so.
"""

import json

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from models_app.models import CustomModel
from modelstation.core.errors import UserFacingError
from modelstation.core.models import Job
from modelstation.testing import REQUIREMENT, make_base, make_model
from training.builds import services as builds

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def url(name, *args, org="acme"):
    return reverse(name, args=[org, *args])


def draft(**changes):
    """Return what the first page sends."""
    make_base()
    fields = {"name": "Bank intents", "requirement": REQUIREMENT, "rows": "500"}
    return fields | {"base": "smollm2-135m-instruct"} | changes


def filled_in(page, step="create", **changes):
    """Return what the second page sends when nothing but `changes` is typed."""
    draft_form, form = page.context["draft_form"], page.context["form"]
    sent = {name: draft_form[name].value() or "" for name in draft_form.fields}
    sent |= {field.html_name: field.value() or "" for field in form}
    sent |= {"corrections": page.context["corrections"], "step": step}
    return sent | {f"intent-{name}": value for name, value in changes.items()}


def test_a_stranger_gets_404_and_makes_nothing(as_charlie, org):
    model = make_model(org)
    assert as_charlie.post(url("model_understood"), draft(step="create")).status_code == 404
    assert as_charlie.get(url("model_intent", model.id)).status_code == 404
    assert as_charlie.post(url("model_intent", model.id), {"build": "1"}).status_code == 404
    assert CustomModel.objects.get().intent_edits == {}
    assert not Job.objects.exists()


def test_what_was_understood_is_shown_and_nothing_is_made(as_bob, org):
    requested = draft(policy="One of: yes, no, maybe.", examples="a => yes")
    page = as_bob.post(url("model_understood"), requested)
    assert "one of 3 labels: yes, no, maybe" in page.content.decode()
    assert page.context["form"]["task_kind"].value() == "classify"
    assert not CustomModel.objects.exists()
    assert not Job.objects.exists()


def test_a_model_made_without_corrections_keeps_none(as_bob, org):
    page = as_bob.post(url("model_understood"), draft(policy="One of: yes, no.", metric=""))
    response = as_bob.post(url("model_understood"), filled_in(page))
    model = CustomModel.objects.get()
    assert response.url == url("model", model.id)
    assert (model.intent_edits, model.system_prompt, model.policy) == ({}, "", "One of: yes, no.")
    assert Job.objects.get(subject_id=model.id).kind == "distil"


def test_only_what_differs_from_what_was_understood_is_kept(as_bob, org):
    page = as_bob.post(url("model_understood"), draft())
    typed = {"labels": "spam\nham", "language": "de", "system_prompt": "Spam or ham?"}
    as_bob.post(url("model_understood"), filled_in(page, **typed))
    model = CustomModel.objects.get()
    assert model.intent_edits == {"labels": ["spam", "ham"], "language": "de"}
    assert model.system_prompt == "Spam or ham?"


def test_another_kind_of_task_leaves_the_rest_to_that_kind(as_bob, org):
    page = as_bob.post(url("model_understood"), draft())
    sent = filled_in(page, task_kind="extract_json", json_schema=json.dumps(SCHEMA))
    as_bob.post(url("model_understood"), sent)
    edits = CustomModel.objects.get().intent_edits
    assert edits == {"task_kind": "extract_json", "json_schema": SCHEMA}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("task_kind", "poetry", "not one of the available choices"),
        ("labels", "only_one", "at least two labels"),
        ("labels", f"yes\n{'x' * 90}", "more than 60 characters"),
        ("json_schema", "{", "This is not JSON"),
        ("json_schema", "[]", "it must be a JSON object"),
        ("json_schema", '{"type": "objekt"}', "not valid at type"),
        ("json_schema", '{"$ref": "http://10.0.0.1/"}', "nothing is fetched"),
        ("json_schema", '{"const": NaN}', "JSON does not have"),
        ("json_schema", '{"const": "\\u0000"}', "NUL"),
        ("answer_min_chars", "0", "greater than or equal to 1"),
        ("answer_max_chars", "many", "whole number"),
        ("language", "klingon", "not one of the available choices"),
    ],
)
def test_an_error_stands_beside_its_field_and_nothing_is_made(as_bob, org, field, value, message):
    page = as_bob.post(url("model_understood"), draft())
    response = as_bob.post(url("model_understood"), filled_in(page, **{field: value}))
    assert response.status_code == 200
    assert message in " ".join(response.context["form"].errors[field])
    assert f'id="id_intent-{field}_error"' in response.content.decode()
    assert not CustomModel.objects.exists()


def test_the_longest_answer_is_not_shorter_than_the_shortest(as_bob, org):
    page = as_bob.post(url("model_understood"), draft())
    sent = filled_in(page, answer_min_chars="90", answer_max_chars="80")
    response = as_bob.post(url("model_understood"), sent)
    assert "less than the shortest" in str(response.context["form"].errors["answer_max_chars"])


def test_back_keeps_what_was_typed_and_corrected(as_bob, org):
    requested = draft(objective="Sort mail.", example_0_input="hi", example_0_output="greeting")
    page = as_bob.post(url("model_understood"), requested)
    typed = {"language": "fr", "system_prompt": "Sort.", "json_schema": "{broken"}
    back = as_bob.post(url("model_understood"), filled_in(page, "back", **typed))
    assert back.templates[0].name == "models_app/model_new.html"
    form = back.context["form"]
    assert form["objective"].value() == "Sort mail."
    assert form["example_0_output"].value() == "greeting"

    carried = {name: form[name].value() or "" for name in form.fields}
    again = as_bob.post(
        url("model_understood"), carried | {"corrections": back.context["corrections"]}
    )
    shown = again.context["form"]
    assert (shown["language"].value(), shown["system_prompt"].value()) == ("fr", "Sort.")
    as_bob.post(url("model_understood"), filled_in(again))
    model = CustomModel.objects.get()
    assert (model.intent_edits, model.system_prompt) == ({"language": "fr"}, "Sort.")


def test_errors_of_the_first_page_are_shown_there(as_bob, org):
    response = as_bob.post(url("model_understood"), draft(requirement="short", step="create"))
    assert response.templates[0].name == "models_app/model_new.html"
    assert "too short" in str(response.context["form"].errors["requirement"])


@pytest.mark.parametrize(
    "junk", ["{", "[]", '{"intent_edits": {"labels": 7}}', '{"intent_edits": 3}']
)
def test_corrections_that_were_tampered_with_count_as_none(as_bob, org, junk):
    page = as_bob.post(url("model_understood"), draft(corrections=junk))
    assert json.loads(page.context["corrections"])["intent_edits"] == {}


# --- of a model that is there ---------------------------------------------------------------------


def corrected(page, **changes):
    sent = {field.html_name: field.value() or "" for field in page.context["form"]}
    return sent | {f"intent-{name}": value for name, value in changes.items()}


def test_a_correction_is_saved_with_an_audit_line_and_shown_again(as_bob, org):
    model = make_model(org, status="ready", system_prompt="Label it.")
    page = as_bob.get(url("model_intent", model.id))
    as_bob.post(url("model_intent", model.id), corrected(page, labels="a\nb", language="de"))
    model.refresh_from_db()
    assert model.intent_edits == {"labels": ["a", "b"], "language": "de"}
    assert (model.status, model.system_prompt) == ("ready", "Label it.")
    entry = AuditEntry.objects.get(action="model.correct_intent")
    assert entry.data == {"fields": ["labels", "language"]}

    page = as_bob.get(url("model_intent", model.id))
    assert page.context["form"]["labels"].value() == "a\nb"
    as_bob.post(url("model_intent", model.id), corrected(page, labels="", language="en"))
    model.refresh_from_db()
    assert model.intent_edits == {}


def test_save_and_distil_again_builds(as_bob, org):
    model = make_model(org, status="ready", intent_edits={"label_map": [RULE]})
    page = as_bob.get(url("model_intent", model.id))
    sent = corrected(page, system_prompt="Be brief.", language="de") | {"build": "1"}
    as_bob.post(url("model_intent", model.id), sent)
    model.refresh_from_db()
    assert (model.status, model.system_prompt) == ("pending", "Be brief.")
    assert model.intent_edits == {"language": "de", "label_map": [RULE]}
    assert Job.objects.get(subject_id=model.id).kind == "distil"


RULE = {"source": "clinc150", "label": "card_lost", "mapped_to": "lost_card"}


def test_a_model_that_is_being_built_is_corrected_but_not_built_twice(as_bob, org):
    model = make_model(org, status="training")
    page = as_bob.get(url("model_intent", model.id))
    assert "A build is going on" in page.content.decode()
    sent = corrected(page, language="de")
    assert as_bob.post(url("model_intent", model.id), sent | {"build": "1"}).status_code == 400
    model.refresh_from_db()
    assert model.intent_edits == {}
    as_bob.post(url("model_intent", model.id), sent)
    model.refresh_from_db()
    assert model.intent_edits == {"language": "de"}


def test_the_models_page_says_what_was_understood(as_bob, org):
    edits = {"language": "de", "labels": ["yes", "no", "maybe"]}
    model = make_model(org, intent_edits=edits)
    page = as_bob.get(url("model", model.id)).content.decode()
    assert "one of 3 labels: yes, no, maybe" in page
    assert "Inputs are in German." in page
    assert url("model_intent", model.id) in page


def test_a_schema_that_an_earlier_release_accepted_neither_breaks_pages_nor_builds(
    as_alice, api, alice, org, artifacts_dir
):
    schema = {"type": "array", "uniqueItems": True}
    model = make_model(org, intent_edits={"json_schema": schema}, status="ready")

    for name in ("model", "model_intent", "model_contract"):
        assert as_alice.get(reverse(name, args=[org.slug, model.id])).status_code == 200
    assert api.get(f"/api/v1/models/{model.id}/contract").status_code == 200
    assert builds.copy_model(actor=alice, model=model).intent_edits == model.intent_edits
    builds.correct_intent(actor=alice, model=model, changes={"language": "de"})
    model.refresh_from_db()
    assert model.intent_edits == {"json_schema": schema, "language": "de"}
    with pytest.raises(UserFacingError, match="uniqueItems"):
        builds.correct_intent(actor=alice, model=model, changes={"json_schema": schema})


# --- questions, and labels with descriptions ------------------------------------------------------

LABELS = "order\nreturn\ncomplaint\nother"
UNCLEAR = {
    "requirement": "Our shop gets about 400 mails a day and we sort them by hand.",
    "objective": "Classify each e-mail into one of four categories.",
    "policy": "Answer with exactly one of these labels: order, return, complaint, other.",
    "examples": "Where is it? => order\nSend it back => return\nWell done => Praise",
}


def test_examples_outside_of_the_labels_are_named_and_asked_about(as_bob, org):
    page = as_bob.post(url("model_understood"), draft(**UNCLEAR))
    assert page.context["form"].intent.examples_outside == ("Praise",)
    text = page.content.decode()
    assert "Your examples answer “Praise”, which is not among the labels" in text
    assert 'type="radio" name="intent-answer_labels"' in text


def test_the_choice_of_an_answer_becomes_a_correction(as_bob, org):
    page = as_bob.post(url("model_understood"), draft(**UNCLEAR))
    as_bob.post(url("model_understood"), filled_in(page, answer_labels="1"))
    edits = CustomModel.objects.get().intent_edits
    assert edits["labels"] == ["order", "return", "complaint", "other", "Praise"]


def test_a_choice_of_what_was_understood_is_kept_so_that_it_is_not_asked_again(as_bob, org):
    page = as_bob.post(url("model_understood"), draft(**UNCLEAR))
    as_bob.post(url("model_understood"), filled_in(page, answer_labels="0"))
    model = CustomModel.objects.get()
    assert model.intent_edits == {"labels": LABELS.splitlines()}
    again = as_bob.get(url("model_intent", model.id))
    assert "labels" not in again.context["form"].asked


def test_what_is_typed_wins_over_a_choice(as_bob, org):
    page = as_bob.post(url("model_understood"), draft(**UNCLEAR))
    as_bob.post(
        url("model_understood"), filled_in(page, answer_labels="1", labels="order\nreturn\nrest")
    )
    assert CustomModel.objects.get().intent_edits["labels"] == ["order", "return", "rest"]


def test_labels_are_described_on_their_line_and_shown_so_again(as_bob, org):
    page = as_bob.post(url("model_understood"), draft(policy="One of: yes, no."))
    as_bob.post(url("model_understood"), filled_in(page, labels="yes: it is\nno\nmaybe: unsure"))
    model = CustomModel.objects.get()
    assert model.intent_edits["labels"] == ["yes", "no", "maybe"]
    assert model.intent_edits["label_descriptions"] == {"yes": "it is", "maybe": "unsure"}
    form = as_bob.get(url("model_intent", model.id)).context["form"]
    assert form["labels"].value() == "yes: it is\nno\nmaybe: unsure"


def test_without_the_script_the_labels_are_a_textarea(as_bob, org):
    page = as_bob.post(url("model_understood"), draft(policy="One of: yes, no.")).content.decode()
    assert "<textarea" in page
    assert "data-chips" in page
    assert "js/chips.js" in page
