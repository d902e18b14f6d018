"""Own inputs: brought, answered, and made rows of, whose provenance says who labelled them."""

import pytest

from accounts.models import AuditEntry
from distillation.labelling import services
from distillation.labelling.rows import ModelInput
from distillation.models import CorpusExample, ImportRun, Labelling, ModelSource
from distillation.tests.labelling.played import a_model, add, messages, work
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(org):
    return a_model(org)


def answer_all(actor, model, truth, count):
    """Answer as a person who is always right does, in the order that is requested."""
    for _ in range(count):
        row = services.next_input(model)
        services.answer_input(actor=actor, row=row, answer=truth[row.text])


def by_input(model):
    rows = CorpusExample.objects.filter(source=Labelling.objects.get(model=model).source)
    return {row.messages[0]["content"]: row for row in rows}


def test_inputs_are_embedded_answered_and_the_rest_is_taken_over(alice, model):
    truth = dict(messages(120))
    added = add(alice, model, list(truth))
    assert (added.added, added.duplicate) == (120, 0)
    assert work(model).state == Job.State.SUCCEEDED
    assert not model.inputs.filter(vector=None).exists()

    answer_all(alice, model, truth, 45)
    summary = services.summary_of(model)
    assert (summary.answered, summary.open) == (45, 75)
    assert summary.estimate["accuracy"]["low"] > 0.8
    assert summary.estimate["taken"] > 50

    services.take_over(actor=alice, model=model, level=0.1)
    assert work(model).state == Job.State.SUCCEEDED
    rows = by_input(model)
    labelling = Labelling.objects.get(model=model)
    assert labelling.stored_answered == 45
    assert len(rows) == 45 + labelling.stored_taken > 95
    wrong = [text for text, row in rows.items() if row.messages[-1]["content"] != truth[text]]
    assert len(wrong) <= 0.1 * labelling.stored_taken
    people = [row for row in rows.values() if row.provenance["labelled_by"] == "person"]
    assert len(people) == 45
    assert {row.provenance["who"] for row in people} == {"alice"}
    taken = [row for row in rows.values() if row.provenance["labelled_by"] == "classifier"]
    assert all(0 < row.provenance["confidence"] <= 1 for row in taken)
    assert ModelSource.objects.get(model=model).source == labelling.source
    assert labelling.source.kind == "labelled"
    assert labelling.source.row_count == len(rows)
    actions = AuditEntry.objects.filter(org=model.org).values_list("action", flat=True)
    assert {"labelling.add", "labelling.take_over", "labelling.stored"} <= set(actions)


def test_a_persons_later_word_replaces_the_row_that_the_head_made(alice, bob, model):
    truth = dict(messages(120))
    add(alice, model, list(truth))
    work(model)
    answer_all(alice, model, truth, 45)
    services.take_over(actor=alice, model=model, level=0.1)
    work(model)
    row = model.inputs.filter(is_sure=True, state="open").first()
    wrong = next(label for label in ("plumbing", "pests") if label != row.proposal)
    same = model.inputs.filter(is_sure=True, state="open").exclude(id=row.id).first()
    count = len(by_input(model))

    services.answer_input(actor=bob, row=row, answer=wrong)
    services.answer_input(actor=bob, row=same, answer=same.proposal)
    services.take_over(actor=bob, model=model, level=0.1)
    work(model)
    rows = by_input(model)
    assert rows[row.text].messages[-1]["content"] == wrong
    for text in (row.text, same.text):
        assert rows[text].provenance["labelled_by"] == "person"
        assert rows[text].provenance["who"] == "bob"
    source = Labelling.objects.get(model=model).source
    assert source.row_count == len(rows) == CorpusExample.objects.filter(source=source).count()
    assert abs(len(rows) - count) <= 5


def test_an_input_marked_unusable_is_no_row_any_more(alice, model):
    truth = dict(messages(30))
    add(alice, model, list(truth))
    work(model)
    answer_all(alice, model, truth, 3)
    services.take_over(actor=alice, model=model, level=0.1)
    work(model)
    row = model.inputs.answered().first()
    services.set_state(actor=alice, row=row, state="unusable")
    services.take_over(actor=alice, model=model, level=0.1)
    work(model)
    assert len(by_input(model)) == 2
    assert row.text not in by_input(model)


def test_what_is_there_already_and_blanks_are_counted_not_kept(alice, model):
    add(alice, model, ["a leak", "The leak!", "  ", "A LEAK"])
    labelling = Labelling.objects.get(model=model)
    assert model.inputs.inputs().count() == 2
    assert (labelling.inputs_duplicate, labelling.inputs_blank) == (1, 1)
    assert add(alice, model, ["a leak", "no light"]).added == 1


def test_an_answer_must_be_one_of_the_labels(alice, model):
    add(alice, model, ["a leak"])
    row = services.next_input(model)
    with pytest.raises(UserFacingError, match="none of the labels"):
        services.answer_input(actor=alice, row=row, answer="gardening")
    assert services.answer_input(actor=alice, row=row, answer="PLUMBING").answer == "plumbing"


def test_undo_opens_again_what_this_person_decided_last(alice, bob, model):
    add(alice, model, ["a leak", "no light", "mice"])
    first, second, _ = model.inputs.inputs().open()
    services.answer_input(actor=alice, row=first, answer="plumbing")
    services.set_state(actor=bob, row=second, state="skipped")
    assert services.undo(actor=alice, model=model) == first
    assert services.next_input(model) == first
    assert services.next_input(model).answer == ""
    assert services.undo(actor=alice, model=model) is None


def test_nothing_is_stored_before_anything_is_answered(alice, model):
    add(alice, model, ["a leak"])
    with pytest.raises(Conflict, match="Nothing is answered yet"):
        services.take_over(actor=alice, model=model, level=0.1)
    services.answer_input(actor=alice, row=services.next_input(model), answer="plumbing")
    with pytest.raises(UserFacingError, match="At most 20%"):
        services.take_over(actor=alice, model=model, level=0.5)


def test_a_job_that_fails_keeps_no_half_rows_and_says_why(alice, model, monkeypatch):
    add(alice, model, ["a leak", "no light"])
    work(model)
    services.answer_input(actor=alice, row=services.next_input(model), answer="plumbing")
    services.take_over(actor=alice, model=model, level=0.1)

    def fail(*_):
        raise UserFacingError("The disk is full.")

    monkeypatch.setattr("distillation.labelling.runner.publish", fail)
    assert work(model).state == Job.State.FAILED
    labelling = Labelling.objects.get(model=model)
    assert (labelling.error_text, labelling.wants_rows) == ("The disk is full.", False)
    assert not ImportRun.objects.filter(state="running").exists()


def test_the_names_of_labels_and_examples_begin_the_head_and_are_no_rows(alice, org):
    examples = [{"input": "the pipe broke", "output": "plumbing"}]
    model = a_model(org, examples=examples)
    add(alice, model, ["a leak", "no light"])
    work(model)
    seeds = model.inputs.filter(state=ModelInput.State.SEED)
    assert set(seeds.values_list("text", "answer")) == {
        ("plumbing", "plumbing"), ("electrical", "electrical"), ("pests", "pests"),
        ("the pipe broke", "plumbing"),
    }  # fmt: skip
    assert services.summary_of(model).inputs == 2
    assert all(row.proposal for row in model.inputs.inputs().open())
