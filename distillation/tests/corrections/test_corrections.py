"""What people say a model should have answered, until a frozen dataset holds it."""

import json

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEntry
from distillation import runner
from distillation.corrections import services as corrections
from distillation.corrections.services import CorrectionDraft
from distillation.datasets.lineage import lineage_of
from distillation.models import CandidateRow, DatasetRow, DatasetVersion
from distillation.tests.distilled import HELD_OUT, distil_for
from distillation.tests.drafts import make_draft
from distillation.tests.test_runner import _corpus  # noqa: F401
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from training.builds import services as builds

pytestmark = pytest.mark.django_db


def make_version(model, number=3, **fields):
    return testing.make_version(model, number=number, system_prompt="Name the intent.", **fields)


def correct(model, user, input="my plastic never came", correction="card_arrival", **said):
    version = model.versions.first() or make_version(model)
    draft = CorrectionDraft(input=input, correction=correction, **said)
    return corrections.add_correction(actor=user, version=version, draft=draft)


def accepted(model, user, *args, **said):
    return corrections.accept_correction(actor=user, row=correct(model, user, *args, **said))


def build_again(model):
    job = jobs.submit(kind="distil", org=model.org, subject_id=model.id)
    jobs.run_job(str(job.id), runner.distil)
    job.refresh_from_db()
    assert job.state == "succeeded", job.error_text
    return model.dataset_versions.first()


# --- into the next dataset ------------------------------------------------------------------------


@pytest.mark.usefixtures("_corpus")
def test_an_accepted_correction_is_in_the_next_frozen_dataset_with_its_lineage(
    org, alice, as_alice
):
    first = distil_for(org)
    row = accepted(first.model, alice, wrong_answer="lost_card")
    version = build_again(first.model)

    [corrected] = version.rows.exclude(candidate=None)
    assert (corrected.split, corrected.input, corrected.answer) == (
        "train",
        row.input,
        "card_arrival",
    )
    assert (corrected.candidate, corrected.step, corrected.license) == (
        row,
        "correction",
        "own data",
    )
    assert corrected.reason.startswith("correction of v3 by alice, ")
    row.refresh_from_db()
    assert (row.state, row.dataset, row.refusal) == ("used", version, "")
    assert version.source_counts["your corrections"] == 1

    lines = (settings.ARTIFACTS_DIR / version.folder / "train.jsonl").read_text().splitlines()
    [line] = [json.loads(line) for line in lines if row.input in line]
    assert line["messages"][-1]["content"] == "card_arrival"
    assert line["reason"] == corrected.reason

    lineage = lineage_of(version)
    assert lineage.verdict == "verified"
    assert not any(source.is_deleted for source in lineage.sources)
    page = as_alice.get(reverse("dataset_lineage", args=[org.slug, version.id])).content.decode()
    assert "your corrections" in page
    assert "source deleted" not in page


@pytest.mark.usefixtures("_corpus")
def test_only_what_was_accepted_is_taken_and_what_was_used_is_taken_again(org, alice):
    first = distil_for(org)
    kept = accepted(first.model, alice)
    correct(first.model, alice, input="nobody looked at this yet")
    dismissed = accepted(first.model, alice, input="this was a mistake of mine")
    corrections.dismiss_correction(actor=alice, row=dismissed)
    for _ in range(2):
        version = build_again(first.model)
        assert [row.candidate for row in version.rows.exclude(candidate=None)] == [kept]


@pytest.mark.usefixtures("_corpus")
def test_a_corpus_row_that_says_otherwise_gives_way(org, alice):
    first = distil_for(org)
    requested = first.rows.filter(split="train").first()
    other = next(a for a in ("lost_card", "top_up") if a != requested.answer)
    accepted(first.model, alice, input=requested.input, correction=other)
    version = build_again(first.model)
    said = [row.answer for row in version.rows.all() if row.input == requested.input]
    assert said == [other]


@pytest.mark.usefixtures("_corpus")
def test_what_repeats_a_held_out_row_is_left_out_and_the_reason_is_told(org, alice):
    first = distil_for(org)
    row = accepted(first.model, alice, input="is it somewhere else")
    CandidateRow.objects.update(input="Is it LOST")  # edited before such rows were refused at once
    version = build_again(first.model)
    row.refresh_from_db()
    assert not version.rows.exclude(candidate=None).exists()
    assert (row.state, row.refusal) == ("accepted", "it repeats a held-out row (same text)")
    step = next(step for step in version.run.funnel if step["filter"] == "your corrections")
    assert (step["refused"], step["kept"]) == (1, 0)


@pytest.mark.usefixtures("_corpus")
def test_of_two_that_contradict_one_another_the_later_one_counts(org, alice):
    first = distil_for(org)
    earlier = accepted(first.model, alice, correction="lost_card")
    later = accepted(first.model, alice, input="My plastic never came!")
    version = build_again(first.model)
    assert [row.candidate for row in version.rows.exclude(candidate=None)] == [later]
    earlier.refresh_from_db()
    assert earlier.refusal == "another correction answers the same input differently"


@pytest.mark.usefixtures("_corpus")
def test_in_a_draft_it_is_a_row_like_others_and_used_once_that_is_frozen(org, alice):
    first = distil_for(org)
    row = accepted(first.model, alice)
    first.model.curation = "review"
    first.model.save()
    draft = build_again(first.model)
    row.refresh_from_db()
    assert (draft.state, row.state) == ("draft", "accepted")

    first.model.status = "review"
    first.model.save()
    builds.freeze_and_train(actor=alice, version=draft)
    row.refresh_from_db()
    assert (row.state, row.dataset) == ("used", draft)


# --- what may be said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "param", "message"),
    [
        ({"input": " "}, "input", "The input is empty."),
        ({"correction": ""}, "correction", "The correction is empty."),
        ({"wrong_answer": " Card_Arrival "}, "correction", "the answer that the model gave"),
        ({"input": "x" * 20_001}, "input", "more than 20,000 characters"),
        ({"correction": "no_such_label"}, "correction", "does not fit the requirement"),
    ],
)
def test_what_is_no_correction_is_refused(org, alice, said, param, message):
    model = make_draft(org).model
    with pytest.raises(UserFacingError, match=message) as refused:
        correct(model, alice, **said)
    assert refused.value.param == param
    assert not CandidateRow.objects.exists()


def test_a_label_is_written_as_the_requirement_writes_it(org, alice):
    assert correct(make_draft(org).model, alice, correction="Top up").correction == "top_up"


def test_a_held_out_row_is_never_accepted_and_what_it_says_is_told(org, alice):
    model = testing.make_model(org, test_rows=[HELD_OUT])
    row = correct(model, alice, input="Is it lost??", correction="top_up")
    stated = "One of your held-out rows asks this and answers “lost_card”."
    assert corrections.conflict_of(row) == stated
    with pytest.raises(UserFacingError, match="held-out rows asks this") as refused:
        corrections.accept_correction(actor=alice, row=row)
    assert refused.value.code == "held_out_row"


def test_a_test_row_of_the_dataset_that_says_otherwise_is_told(org, alice):
    model = make_draft(org, state="frozen").model
    tested = DatasetRow.objects.filter(split="test").first()
    other = next(a for a in ("lost_card", "top_up", "card_arrival") if a != tested.answer)
    row = accepted(model, alice, input=tested.input.upper(), correction=other)
    assert f"Row {tested.position} of dataset 1, which is for testing" in corrections.conflict_of(
        row
    )


def test_each_deed_is_audited(org, alice):
    row = accepted(testing.make_model(org), alice)
    corrections.edit_correction(actor=alice, row=row, correction="lost")
    corrections.dismiss_correction(actor=alice, row=row)
    actions = set(AuditEntry.objects.filter(org=org).values_list("action", flat=True))
    assert {
        f"correction.{action}" for action in ("add", "accepted", "edit", "dismissed")
    } <= actions


def test_the_row_stays_when_its_version_is_deleted(org, alice):
    row = correct(testing.make_model(org), alice)
    row.version.delete()
    row.refresh_from_db()
    assert (row.version, row.version_number) == (None, 3)


# --- pages ----------------------------------------------------------------------------------------


def page(name, model, *args):
    return reverse(name, args=["acme", model.id, *args])


@pytest.fixture
def model(org):
    model = testing.make_model(org)
    make_version(model)
    return model


SAID = {
    "version": 3,
    "input": "my plastic never came",
    "wrong_answer": "lost_card",
    "correction": "card_arrival",
    "system_prompt": "Name the intent.",
}


def test_a_stranger_gets_404_from_every_page_of_corrections(as_charlie, model, alice):
    row = correct(model, alice)
    assert as_charlie.get(page("corrections", model)).status_code == 404
    assert as_charlie.post(page("correction_new", model), SAID).status_code == 404
    for send in (as_charlie.get, as_charlie.post):
        assert send(page("correction", model, row.id)).status_code == 404
    assert CandidateRow.objects.get().state == "new"


def test_a_correction_is_found_under_its_own_model_only(as_bob, model, alice, org):
    row = correct(testing.make_model(org, name="Other"), alice)
    assert as_bob.get(page("correction", model, row.id)).status_code == 404


def test_a_wrong_answer_is_marked_looked_at_and_accepted(as_bob, model, bob):
    marked = as_bob.post(page("correction_new", model), SAID, headers={"HX-Request": "true"})
    assert "The correction is kept." in marked.content.decode()
    row = CandidateRow.objects.get()
    assert (row.state, row.created_by, row.version.number) == ("new", bob, 3)

    listed = as_bob.get(page("corrections", model)).content.decode()
    assert "card_arrival" in listed
    assert "lost_card" in listed
    as_bob.post(page("correction", model, row.id), {"state": "accepted"})
    row.refresh_from_db()
    assert (row.state, row.decided_by, row.correction) == ("accepted", bob, "card_arrival")


def test_without_script_the_list_follows_or_the_form_with_its_error(as_bob, model):
    assert as_bob.post(page("correction_new", model), SAID).url == page("corrections", model)
    again = as_bob.post(page("correction_new", model), SAID | {"correction": "lost_card"})
    assert "This is the answer that the model gave." in again.content.decode()


def test_it_is_edited_and_accepted_in_one_press(as_bob, model, alice):
    row = correct(model, alice)
    said = {"input": "Where is my plastic?", "correction": "arrival", "state": "accepted"}
    as_bob.post(page("correction", model, row.id), said)
    row.refresh_from_db()
    assert (row.input, row.correction, row.state) == (said["input"], "arrival", "accepted")


def test_lists_ask_the_database_equally_often_for_one_correction_and_for_ten(
    as_bob, api_for, bob, model, alice
):
    make_draft(model.org, state="frozen", model=model)
    api = api_for(bob)
    correct(model, alice, correction="top_up")
    queries = {}
    for number in range(10):
        for name, ask in (
            ("page", lambda: as_bob.get(page("corrections", model))),
            ("api", lambda: api.get(address(model))),
        ):
            with CaptureQueriesContext(connection) as requested:
                assert ask().status_code == 200
            queries.setdefault(name, []).append(len(requested))
        correct(model, alice, input=f"message {number}", correction="top_up")
    for counts in queries.values():
        assert counts[-1] == counts[1]


def test_what_waits_for_the_next_build_is_told_with_the_way_to_it(as_bob, model, alice):
    type(model).objects.update(status="ready")
    row = correct(model, alice)
    assert "Build again" not in as_bob.get(page("corrections", model)).content.decode()
    corrections.accept_correction(actor=alice, row=row)
    listed = as_bob.get(page("corrections", model)).content.decode()
    assert "1 accepted correction waits for the next build." in " ".join(listed.split())
    assert page("model_rebuild", model) in listed


def test_the_list_is_narrowed_and_counts_the_states(as_bob, model, alice):
    correct(model, alice)
    accepted(model, alice, input="another one")
    listed = as_bob.get(page("corrections", model), {"state": "accepted"})
    assert [row.input for row in listed.context["page"]] == ["another one"]
    assert dict(listed.context["counts"])["new"] == 1


# --- API ------------------------------------------------------------------------------------------


def address(model, row=None):
    name, args = ("api_correction", [model.id, row]) if row else ("api_corrections", [model.id])
    return reverse(name, args=args)


def test_a_strangers_token_finds_no_corrections(api_for, charlie, model, alice):
    row = correct(model, alice)
    api = api_for(charlie, charlie.organizations.get())
    assert api.get(address(model)).status_code == 404
    assert api.post(address(model), SAID, format="json").status_code == 404
    assert api.patch(address(model, row.id), {"state": "accepted"}).status_code == 404


def test_a_program_says_accepts_and_lists(api_for, bob, model):
    api = api_for(bob)
    said = {"input": "my plastic never came", "correction": "card_arrival"}
    row = api.post(address(model), said, format="json").json()
    assert (row["state"], row["version_number"], row["conflict"]) == ("new", 3, "")
    changed = api.patch(address(model, row["id"]), {"state": "accepted"}, format="json").json()
    assert changed["state"] == "accepted"
    assert api.get(address(model), {"state": "accepted"}).json()["results"] == [changed]
    assert api.get(address(model), {"state": "new"}).json()["results"] == []


def test_the_same_key_and_body_make_one_correction(api_for, bob, model):
    api = api_for(bob)
    said = {"input": "a", "correction": "b"}
    made = [
        api.post(address(model), said, format="json", headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]
    assert made[0].json() == made[1].json()
    assert CandidateRow.objects.count() == 1
    other = api.post(
        address(model), said | {"input": "c"}, format="json", headers={"Idempotency-Key": "once"}
    )
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("body", "param", "status"),
    [
        ({"correction": "b"}, "input", 400),
        ({"input": "a", "correction": "b", "version": 9}, "version", 409),
        ({"input": "a", "correction": "b", "versoin": 3}, "versoin", 400),
        ({"input": "a", "correction": "a", "wrong_answer": "a"}, "correction", 400),
    ],
)
def test_a_bad_correction_names_its_field(api_for, bob, model, body, param, status):
    answer = api_for(bob).post(address(model), body, format="json")
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_a_held_out_row_is_a_conflict_for_programs_too(api_for, bob, org):
    model = testing.make_model(org, name="Held", test_rows=[HELD_OUT])
    row = correct(model, bob, input="is it lost?", correction="x")
    answer = api_for(bob).patch(address(model, row.id), {"state": "accepted"}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "held_out_row")


def test_a_model_without_versions_takes_no_corrections(api_for, bob, org):
    model = testing.make_model(org, name="None yet")
    answer = api_for(bob).post(address(model), {"input": "a", "correction": "b"}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_version")
    assert not DatasetVersion.objects.exists()
