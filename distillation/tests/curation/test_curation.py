import json
import threading
from functools import partial

import pytest
from django.conf import settings
from django.db import connection

from accounts.models import AuditEntry
from distillation.curation import services as curation
from distillation.curation.row_filter import RowFilter
from distillation.models import DatasetRow, DatasetVersion
from distillation.pipeline.export import dataset_digest
from distillation.pipeline.text import hash_messages
from distillation.pipeline.types import Example
from distillation.pipeline.understand.row_format import held_out_messages
from distillation.tests.drafts import PROMPT, make_draft
from distillation.tests.test_pages import CountQueries
from modelstation.core.artifacts import verify
from modelstation.core.errors import UserFacingError
from modelstation.core.models import Job
from training.builds import services as builds

pytestmark = pytest.mark.django_db
EVERY_ROW = RowFilter()


@pytest.fixture
def draft(org, artifacts_dir):
    return make_draft(org)


def row_of(version, position):
    return version.rows.get(position=position)


def refused(code, deed, **arguments):
    with pytest.raises(UserFacingError) as error:
        deed(**arguments)
    assert error.value.code == code
    return error.value


def freeze(actor, version):
    builds.freeze_and_train(actor=actor, version=version)
    version.refresh_from_db()
    return version


# --- Deciding -------------------------------------------------------------------------------------


def test_rows_are_refused_by_their_ids_and_the_counts_follow(alice, draft):
    ids = [row_of(draft, 0).id, row_of(draft, 1).id]
    assert curation.decide_rows(actor=alice, version=draft, chosen=ids, decision="refused") == 2
    draft.refresh_from_db()
    assert draft.row_count == 10
    assert draft.split_counts == {"train": 6, "valid": 2, "test": 2}
    assert draft.source_counts == {"clinic": 5, "banking": 5}
    assert draft.license_counts == {"CC-BY-4.0": 5, "MIT": 5}
    assert {row.decided_by for row in draft.rows.filter(decision="refused")} == {alice}


def test_all_that_match_are_decided_and_only_those_that_change_are_counted(alice, draft):
    of_source = RowFilter(source="banking")
    first = curation.decide_rows(actor=alice, version=draft, chosen=of_source, decision="refused")
    again = curation.decide_rows(actor=alice, version=draft, chosen=of_source, decision="refused")
    back = curation.decide_rows(
        actor=alice, version=draft, chosen=RowFilter(decision="refused", q="message 1"),
        decision="kept",
    )  # fmt: skip
    assert (first, again, back) == (6, 0, 2)  # 1 and 11
    assert draft.rows.kept().count() == 8


def test_rows_of_another_dataset_cannot_be_chosen(alice, org, draft):
    other = make_draft(org, name="Other")
    ids = [row_of(draft, 0).id, row_of(other, 0).id]
    refused("rows_not_found", curation.decide_rows, actor=alice, version=draft, chosen=ids,
            decision="refused")  # fmt: skip
    refused("rows_not_found", curation.decide_rows, actor=alice, version=draft, chosen=[],
            decision="refused")  # fmt: skip
    assert DatasetRow.objects.filter(decision="refused").count() == 0


# --- Editing --------------------------------------------------------------------------------------


def test_an_edited_row_keeps_its_prompt_its_first_form_and_says_who_touched_it(alice, draft):
    row = row_of(draft, 0)
    first = row.messages
    curation.edit_row(actor=alice, row=row, input=" my card is gone ", answer="lost_card")
    curation.edit_row(actor=alice, row=row, input="my card is gone!", answer="top_up")
    row = row_of(draft, 0)
    assert [turn["content"] for turn in row.messages] == [PROMPT, "my card is gone!", "top_up"]
    assert row.original_messages == first
    assert row.content_hash == hash_messages(row.messages)
    assert (row.step, row.decided_by) == ("edited by hand", alice)


def test_an_edit_that_changes_nothing_leaves_the_row_alone(alice, draft):
    row = row_of(draft, 0)
    curation.edit_row(actor=alice, row=row, input="message 0 ", answer="Lost-Card")
    assert not row_of(draft, 0).is_edited
    assert not AuditEntry.objects.filter(action="dataset.edit_row").exists()


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ({"input": "  ", "answer": "top_up"}, "invalid", "input"),
        ({"input": "x", "answer": " \n"}, "invalid", "answer"),
        ({"input": "x", "answer": "no_such_label"}, "answer_does_not_fit", "answer"),
        ({"input": "Message, 3!", "answer": "top_up"}, "duplicate_row", "input"),
        ({"input": "HELD out", "answer": "top_up"}, "duplicate_row", "input"),
    ],
)
def test_an_edit_that_would_spoil_the_dataset_is_refused(alice, org, given, code, param):
    draft = make_draft(org, test_rows=[{"input": "held out?", "output": "top_up"}])
    error = refused(code, curation.edit_row, actor=alice, row=row_of(draft, 0), **given)
    assert error.param == param
    assert not row_of(draft, 0).is_edited


def test_the_labels_that_are_allowed_are_named(alice, draft):
    error = refused("answer_does_not_fit", curation.edit_row, actor=alice, row=row_of(draft, 0),
                    input="x", answer="lost")  # fmt: skip
    assert error.hint == "Allowed are lost_card, card_arrival, top_up."


def test_an_answer_in_json_must_be_json_with_the_keys_asked_for(alice, org):
    intent = {"task_kind": "extract_json", "json_keys": ["city", "date"]}
    row = row_of(make_draft(org, intent=intent), 0)
    for answer in ("Rome", '["Rome"]', '{"town": "Rome"}'):
        refused("answer_does_not_fit", curation.edit_row, actor=alice, row=row, input="x",
                answer=answer)  # fmt: skip
    row = curation.edit_row(actor=alice, row=row, input="x", answer='{"city": "Rome"}')
    assert row.answer == '{"city": "Rome"}'


def test_where_answers_are_free_text_any_will_do(alice, org):
    row = row_of(make_draft(org, intent={"task_kind": "generate"}), 0)
    assert curation.edit_row(actor=alice, row=row, input="x", answer="A long one. " * 9).is_edited


def test_a_restored_row_is_as_it_was_selected(alice, draft):
    row = row_of(draft, 0)
    before = row.content_hash
    curation.edit_row(actor=alice, row=row, input="another", answer="top_up")
    row = curation.restore_row(actor=alice, row=row)
    assert (row.input, row.answer, row.content_hash) == ("message 0", "lost_card", before)
    assert not row.is_edited
    assert row.step == "restored by hand"


def test_a_row_is_not_restored_onto_one_that_took_its_place(alice, draft):
    one, two = row_of(draft, 0), row_of(draft, 1)
    curation.edit_row(actor=alice, row=one, input="elsewhere", answer="top_up")
    curation.edit_row(actor=alice, row=two, input="message 0", answer="top_up")
    error = refused("duplicate_row", curation.restore_row, actor=alice, row=one)
    assert error.message == "Row 1 asks the same."


def test_many_rows_are_relabelled_in_the_labels_spelling(alice, draft):
    changed = curation.relabel(actor=alice, version=draft, chosen=EVERY_ROW, answer="Top up")
    assert changed == 8  # four were top_up already, and stay unedited
    assert {row.answer for row in draft.rows.all()} == {"top_up"}
    edited = draft.rows.exclude(original_messages=None)
    assert edited.count() == 8
    assert all(row.content_hash == hash_messages(row.messages) for row in edited)
    assert all(row.original_messages[-1]["content"] != "top_up" for row in edited)


def test_words_are_replaced_in_answers_all_or_none(alice, org):
    draft = make_draft(org, intent={"task_kind": "generate"})
    requested = {"actor": alice, "version": draft, "chosen": EVERY_ROW, "find": "_card"}
    assert curation.replace_in_answers(**requested, replacement=" the “card”\n") == 4
    assert row_of(draft, 0).answer == "lost the “card”"
    requested["find"] = "top_up"
    refused("invalid", curation.replace_in_answers, **requested, replacement="")
    assert draft.rows.spoken().filter(said_answer="top_up").count() == 4


def test_a_bulk_edit_that_makes_two_rows_the_same_is_refused(alice, draft):
    row = row_of(draft, 1)
    row.messages = [*row.messages[:1], {"role": "user", "content": "message 0"}, row.messages[2]]
    row.save()
    error = refused("duplicate_row", curation.relabel, actor=alice, version=draft,
                    chosen=EVERY_ROW, answer="top_up")  # fmt: skip
    assert error.message == "Rows 0 and 1 would be the same."
    assert not draft.rows.exclude(original_messages=None).exists()


# --- Freezing -------------------------------------------------------------------------------------


def test_freezing_writes_the_kept_rows_and_submits_training(alice, draft):
    row = row_of(draft, 1)
    curation.edit_row(actor=alice, row=row, input="an edited one", answer="top_up")
    curation.decide_rows(
        actor=alice, version=draft, chosen=[row_of(draft, 0).id], decision="refused"
    )
    freeze(alice, draft)
    kept = list(draft.rows.kept())
    assert (draft.state, draft.frozen_by, draft.row_count) == ("frozen", alice, 11)
    assert draft.digest == dataset_digest(kept)
    folder = settings.ARTIFACTS_DIR / draft.folder
    assert verify(folder)["facts"]["digest"] == draft.digest
    lines = [
        json.loads(line)
        for split in ("train", "valid", "test")
        for line in (folder / f"{split}.jsonl").open()
    ]
    assert {line["content_hash"] for line in lines} == {row.content_hash for row in kept}
    assert [job.kind for job in Job.objects.filter(state="queued")] == ["train"]
    draft.model.refresh_from_db()
    assert draft.model.status == "training"


def test_the_users_held_out_rows_are_frozen_with_it(alice, org, artifacts_dir):
    pair = {"input": "held out", "output": "top_up"}
    draft = freeze(alice, make_draft(org, test_rows=[pair]))
    held_out = held_out_messages(PROMPT, [Example("held out", "top_up")])
    assert draft.digest == dataset_digest(draft.rows.all(), held_out)
    assert draft.split_counts["test"] == 3
    test = (artifacts_dir / draft.folder / "test.jsonl").read_text()
    assert "held out by the user" in test


@pytest.mark.parametrize(
    ("left_out", "sentence"),
    [
        (RowFilter(split="train"), "4 rows are kept, at least 5 are needed."),
        (RowFilter(split="test"), "No row of the test split is kept, so there is nothing to"),
    ],
)
def test_a_dataset_that_would_be_of_no_use_is_not_frozen(alice, draft, left_out, sentence):
    curation.decide_rows(actor=alice, version=draft, chosen=left_out, decision="refused")
    error = refused("too_few_rows", builds.freeze_and_train, actor=alice, version=draft)
    assert error.message.startswith(sentence)
    draft.refresh_from_db()
    assert (draft.is_draft, draft.folder, draft.digest) == (True, "", "")
    assert not Job.objects.filter(kind="train").exists()


def test_an_empty_train_split_is_never_frozen(alice, org, artifacts_dir):
    draft = make_draft(org, minimum=1)
    curation.decide_rows(
        actor=alice, version=draft, chosen=RowFilter(split="train"), decision="refused"
    )
    error = refused("too_few_rows", builds.freeze_and_train, actor=alice, version=draft)
    assert "nothing to train on" in error.message


def test_nothing_is_frozen_while_the_model_is_being_built(alice, draft):
    draft.model.status = "distilling"
    draft.model.save()
    refused("already_building", builds.freeze_and_train, actor=alice, version=draft)


def test_a_frozen_version_never_changes(alice, draft):
    row = row_of(draft, 0)
    freeze(alice, draft)
    everything = {"actor": alice, "version": draft, "chosen": EVERY_ROW}
    for deed, arguments in (
        (curation.decide_rows, everything | {"decision": "refused"}),
        (curation.relabel, everything | {"answer": "top_up"}),
        (curation.replace_in_answers, everything | {"find": "a", "replacement": "b"}),
        (curation.edit_row, {"actor": alice, "row": row, "input": "x", "answer": "top_up"}),
        (curation.restore_row, {"actor": alice, "row": row}),
        (builds.freeze_and_train, {"actor": alice, "version": draft}),
        (curation.discard_draft, {"actor": alice, "version": draft}),
    ):
        refused("dataset_frozen", deed, **arguments)
    assert draft.rows.kept().count() == 12


# --- Drafts ---------------------------------------------------------------------------------------


def test_a_draft_of_a_frozen_version_has_its_rows_the_refused_ones_too(alice, draft):
    curation.decide_rows(
        actor=alice, version=draft, chosen=[row_of(draft, 0).id], decision="refused"
    )
    freeze(alice, draft)
    second = curation.draft_of(actor=alice, version=draft)
    assert (second.number, second.parent, second.state) == (2, draft, "draft")
    assert (second.digest, second.folder, second.row_count) == ("", "", 11)
    same = ("position", "split", "messages", "decision", "content_hash", "corpus_hash", "scores")
    assert list(second.rows.values(*same)) == list(draft.rows.values(*same))
    refused("draft_exists", curation.draft_of, actor=alice, version=draft)
    refused("dataset_draft", curation.draft_of, actor=alice, version=second)


def test_what_is_done_to_a_draft_is_not_done_to_its_parent(alice, draft):
    freeze(alice, draft)
    second = curation.draft_of(actor=alice, version=draft)
    curation.relabel(actor=alice, version=second, chosen=EVERY_ROW, answer="top_up")
    assert draft.rows.spoken().filter(said_answer="top_up").count() == 4


def test_a_discarded_draft_is_gone_and_its_model_waits_no_more(alice, draft):
    curation.discard_draft(actor=alice, version=draft)
    assert not DatasetVersion.objects.exists()
    draft.model.refresh_from_db()
    assert draft.model.status == "cancelled"


def test_every_deed_is_in_the_audit(alice, draft):
    row = row_of(draft, 0)
    curation.decide_rows(actor=alice, version=draft, chosen=[row.id], decision="refused")
    curation.edit_row(actor=alice, row=row, input="x", answer="top_up")
    curation.restore_row(actor=alice, row=row)
    curation.relabel(actor=alice, version=draft, chosen=RowFilter(q="message 1"), answer="top_up")
    freeze(alice, draft)
    curation.discard_draft(
        actor=alice, version=curation.draft_of(actor=alice, version=draft)
    )  # fmt: skip
    stated = [entry.action for entry in AuditEntry.objects.order_by("id")]
    actions = "decide edit_row restore_row relabel freeze draft discard"
    assert stated == [f"dataset.{deed}" for deed in actions.split()]
    relabelled = AuditEntry.objects.get(action="dataset.relabel")
    assert relabelled.actor == alice
    assert relabelled.data["chosen"] == {"q": "message 1"}


# --- Races ----------------------------------------------------------------------------------------


def at_once(*actions):
    """Run the deeds in threads of their own; the code of each refusal, or "done"."""
    outcomes = []
    start = threading.Barrier(len(actions))

    def run(deed):
        start.wait()
        try:
            deed()
            outcomes.append("done")
        except UserFacingError as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[deed]) for deed in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_freeze_at_once_one_does(alice, bob, draft):
    outcomes = at_once(
        lambda: builds.freeze_and_train(actor=alice, version=draft),
        lambda: builds.freeze_and_train(actor=bob, version=draft),
    )
    assert outcomes == ["dataset_frozen", "done"]
    assert Job.objects.filter(kind="train").count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_is_decided_beside_a_freeze_is_either_in_it_or_refused(alice, bob, draft):
    chosen = [row_of(draft, 0).id]
    outcomes = at_once(
        lambda: builds.freeze_and_train(actor=alice, version=draft),
        lambda: curation.decide_rows(actor=bob, version=draft, chosen=chosen, decision="refused"),
    )
    draft.refresh_from_db()
    kept = list(draft.rows.kept())
    assert draft.row_count == len(kept) == (11 if outcomes == ["done", "done"] else 12)
    assert draft.digest == dataset_digest(kept)


# --- Many rows ------------------------------------------------------------------------------------


ACTIONS = {
    "decide_rows": partial(
        curation.decide_rows, chosen=RowFilter(source="banking"), decision="refused"
    ),
    "relabel": partial(curation.relabel, chosen=EVERY_ROW, answer="top_up"),
    "freeze_and_train": builds.freeze_and_train,
    "draft_of": curation.draft_of,
}


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_needs_as_many_queries_for_many_rows_as_for_few(
    alice, org, artifacts_dir, action
):
    def queries_for(name, rows):
        version = make_draft(org, rows, name=name)
        if action == "draft_of":
            freeze(alice, version)
        with CountQueries() as queries:
            ACTIONS[action](actor=alice, version=version)
        return len(queries)

    assert queries_for("Few", 12) == queries_for("Many", 120)
