"""The page on which people label: what it shows, with and without script."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from distillation.labelling import services
from distillation.models import Labelling
from distillation.tests.labelling.played import a_model, add, messages, work
from models_app.serving import client as serving
from models_app.serving.client import Completion
from modelstation.core.models import Job
from modelstation.testing import make_version

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
FIELDS = {"type": "object", "properties": {"sku": {"type": "string"}, "qty": {"type": "integer"}}}


@pytest.fixture
def model(org):
    return a_model(org)


def url(model, name="labelling"):
    return reverse(name, args=[model.org.slug, model.id])


def extraction(org):
    edits = {"task_kind": "extract_json", "json_schema": FIELDS}
    requirement = "Extract sku and qty of an order as JSON."
    return a_model(org, name="Orders", requirement=requirement, intent_edits=edits)


def test_an_empty_page_says_what_to_do(as_bob, model):
    page = as_bob.get(url(model)).content.decode()
    assert "No inputs yet" in page
    assert "Inputs, one per line" in page


def test_pasted_lines_are_added_and_what_was_left_out_is_named(as_bob, model):
    lines = "the tap leaks\r\n\r\nThe tap leaks!\r\nmice"
    page = as_bob.post(url(model, "labelling_add"), {"inputs": lines}, follow=True)
    assert "2 inputs added. Left out: 1 there already." in page.content.decode()


def test_a_file_is_added_and_the_column_that_was_found_is_named(as_bob, model):
    file = SimpleUploadedFile("mails.csv", b"id,body\n1,a leak\n2,mice\n")
    page = as_bob.post(url(model, "labelling_add"), {"file": file}, follow=True)
    assert "2 inputs added from the column “body”." in page.content.decode()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("in.txt", b"\x00\x01\x02\n", "no text but binary data"),
        ("in.pdf", b"%PDF-1.7", "this kind of file is not known"),
        ("in.csv", b"a,b\n", "no input could be read"),
    ],
)
def test_a_file_of_no_use_is_refused_beside_its_field(as_bob, model, name, content, words):
    file = SimpleUploadedFile(name, content)
    page = as_bob.post(url(model, "labelling_add"), {"file": file})
    assert words in page.content.decode()
    assert not model.inputs.exists()


def test_each_label_has_a_key_and_the_proposal_takes_enter(as_bob, alice, model):
    add(alice, model, [text for text, _ in messages(12)])
    work(model)
    page = as_bob.get(url(model)).content.decode()
    for key in ("1", "2", "3", "s", "x", "u"):
        assert f'data-key="{key}"' in page
    assert page.count("data-key-enter") == 1


def test_without_script_an_answer_comes_back_to_the_next_input(as_bob, alice, model):
    add(alice, model, ["the tap leaks", "mice"])
    work(model)
    first, second = model.inputs.inputs().open()
    answer = {"input_id": first.id, "answer": "pests"}
    response = as_bob.post(url(model, "labelling_answer"), answer)
    assert response.url == url(model)
    assert second.text in as_bob.get(url(model)).content.decode()
    as_bob.post(url(model, "labelling_undo"))
    first.refresh_from_db()
    assert (first.state, first.answer) == ("open", "")


def test_with_script_the_answer_is_the_next_inputs_fragment(as_bob, alice, model):
    add(alice, model, ["the tap leaks", "mice"])
    first, second = model.inputs.inputs().open()
    answer = {"input_id": first.id, "do": "unusable"}
    page = as_bob.post(url(model, "labelling_answer"), answer, headers=HTMX).content.decode()
    assert "<html" not in page
    assert str(second.id) in page
    assert "unusable" in page


def test_an_answer_that_does_not_fit_is_explained_and_nothing_is_kept(as_bob, alice, model):
    add(alice, model, ["the tap leaks"])
    [row] = model.inputs.inputs()
    answer = {"input_id": row.id, "answer": "gardening"}
    page = as_bob.post(url(model, "labelling_answer"), answer).content.decode()
    assert "“gardening” is none of the labels of this model." in page
    assert not model.inputs.answered().exists()


def test_an_earlier_answer_is_changed_by_its_link(as_bob, alice, model):
    add(alice, model, ["the tap leaks", "mice"])
    first, _ = model.inputs.inputs().open()
    services.answer_input(actor=alice, row=first, answer="pests")
    page = as_bob.get(url(model), {"input": first.id}).content.decode()
    assert f'value="{first.id}"' in page
    assert as_bob.get(url(model), {"input": "nonsense"}).status_code == 200
    as_bob.post(url(model, "labelling_answer"), {"input_id": first.id, "answer": "plumbing"})
    first.refresh_from_db()
    assert first.answer == "plumbing"


def test_personal_data_is_pointed_out(as_bob, alice, model):
    add(alice, model, ["the tap leaks, mail me: kim@example.org"])
    assert "Looks like personal data: email" in as_bob.get(url(model)).content.decode()


def test_the_page_says_how_far_it_is_and_how_sure(as_bob, alice, model):
    truth = dict(messages(90))
    add(alice, model, list(truth))
    work(model)
    for _ in range(40):
        row = services.next_input(model)
        services.answer_input(actor=alice, row=row, answer=truth[row.text])
    page = " ".join(as_bob.get(url(model)).content.decode().split())
    assert "Proposals are right about" in page
    assert "can be taken over" in page
    response = as_bob.post(url(model, "labelling_take_over"), {"level": "0.1"}, follow=True)
    assert "The rows are being stored" in response.content.decode()
    assert Labelling.objects.get(model=model).wants_rows
    work(model)
    page = " ".join(as_bob.get(url(model)).content.decode().split())
    assert "Rows of 40 answers and" in page
    assert "tenants-labelled" in page


def test_a_level_that_is_not_offered_is_refused(as_bob, alice, model):
    add(alice, model, ["the tap leaks"])
    response = as_bob.post(url(model, "labelling_take_over"), {"level": "0.9"})
    assert response.status_code == 400
    assert not Labelling.objects.get(model=model).wants_rows


def test_fields_of_an_extraction_are_pre_filled_by_the_live_version(
    as_bob, alice, org, monkeypatch
):
    model = extraction(org)
    model.live_version = make_version(model)
    model.save()
    said = Completion('{"sku": "ME-4102", "qty": 300}', 9, 9, "stop")
    monkeypatch.setattr(serving, "generate", lambda *args, **options: said)
    add(alice, model, ["300 of ME-4102 please", "hello"])
    work(model)
    page = as_bob.get(url(model)).content.decode()
    assert ">ME-4102</textarea>" in page
    assert ">300</textarea>" in page
    row = services.next_input(model)
    posted = {"input_id": row.id, "do": "answer", "field-sku": "ME-4102", "field-qty": "30"}
    as_bob.post(url(model, "labelling_answer"), posted)
    row.refresh_from_db()
    assert json.loads(row.answer) == {"sku": "ME-4102", "qty": 30}


def test_without_a_live_version_or_a_server_the_fields_are_empty(as_bob, alice, org, settings):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"
    model = extraction(org)
    add(alice, model, ["300 of ME-4102 please"])
    assert work(model).state == "succeeded"
    model.live_version = make_version(model)
    model.save()
    add(alice, model, ["30 of ME-4102 please"])
    assert work(model).state == "succeeded"
    page = as_bob.get(url(model)).content.decode()
    assert 'name="field-qty" rows="1"></textarea>' in page


def test_an_extraction_makes_rows_of_answers_alone(as_bob, alice, org):
    model = extraction(org)
    add(alice, model, [f"{number} of ME-4102 please" for number in range(30)])
    work(model)
    row = services.next_input(model)
    services.answer_input(actor=alice, row=row, answer='{"sku": "ME-4102", "qty": 3}')
    services.take_over(actor=alice, model=model, level=0.1)
    work(model)
    labelling = Labelling.objects.get(model=model)
    assert (labelling.stored_answered, labelling.stored_taken) == (1, 0)


def test_an_answer_of_free_text_is_a_text(as_bob, alice, org):
    edits = {"task_kind": "generate"}
    model = a_model(org, name="Rewrite", requirement="Rewrite the question.", intent_edits=edits)
    add(alice, model, ["and 3302?"])
    row = services.next_input(model)
    answer = {"input_id": row.id, "do": "answer", "answer": "What is\r\nthe status of 3302?"}
    as_bob.post(url(model, "labelling_answer"), answer)
    row.refresh_from_db()
    assert row.answer == "What is\nthe status of 3302?"


def test_the_page_takes_as_many_queries_for_many_inputs_as_for_few(
    as_bob, alice, model, django_assert_max_num_queries
):
    add(alice, model, [text for text, _ in messages(60)])
    work(model)
    with django_assert_max_num_queries(25):
        as_bob.get(url(model))


def test_a_build_does_not_begin_without_the_rows_that_are_being_stored(as_bob, alice, org):
    model = a_model(org, status="needs_data")
    add(alice, model, ["the tap leaks", "mice"])
    services.answer_input(actor=alice, row=services.next_input(model), answer="plumbing")
    services.take_over(actor=alice, model=model, level=0.1)
    assert "No worker is running" in as_bob.get(url(model)).content.decode()
    data = as_bob.get(url(model, "model_data")).content.decode()
    assert "A build waits until they are here" in data
    refused = as_bob.post(url(model, "model_rebuild"), follow=True)
    assert "still being stored" in refused.content.decode()
    assert not Job.objects.filter(kind="distil").exists()
    work(model)
    as_bob.post(url(model, "model_rebuild"))
    assert Job.objects.filter(kind="distil").exists()
