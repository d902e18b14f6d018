import json

import pytest

from distillation.pipeline.choose.dedup import (
    contradictions,
    exact_duplicates,
    near_duplicates,
    twin_groups,
)
from distillation.pipeline.text import hash_messages, input_key, input_text, normalise
from distillation.tests.pipeline.rows import scored
from modelstation.testing import shared_data

NORTH, EAST, NEARLY_NORTH = [1.0, 0.0], [0.0, 1.0], [0.9539, 0.3]


@pytest.mark.parametrize(
    "variant",
    [
        "HELLO THERE",
        "  hello \n there ",
        "Hello, there!",
        "Hel\u200blo there",
        "hello there 🙂",
        "Ｈello there",
    ],
    ids=["upper", "spaces", "punctuation", "zero width", "emoji", "full width"],
)
def test_variants_of_an_input_have_one_key(variant):
    assert input_key(variant) == input_key("Hello there")


def test_an_input_of_symbols_alone_keeps_its_symbols():
    assert input_key("?!") == "?!"


def test_normal_form_keeps_what_answers_differ_by():
    assert normalise("a > 1") != normalise("a < 1")


def test_an_input_is_every_turn_before_the_answer_but_the_system_turn():
    turns = [
        ("system", "s"),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
        ("assistant", "four"),
    ]
    messages = [{"role": role, "content": content} for role, content in turns]
    assert input_text(messages) == "user: one\nassistant: two\nuser: three"
    assert input_text(messages[-2:]) == "three"


def test_a_hash_does_not_depend_on_how_a_message_is_written_down():
    messages = [{"role": "user", "content": "Grüße"}]
    assert hash_messages(messages) == hash_messages([{"content": "Grüße", "role": "user"}])
    assert hash_messages(messages) != hash_messages([{"role": "user", "content": "Grusse"}])


def test_the_second_of_two_equal_rows_is_a_duplicate():
    rows = [scored("Hello", "a"), scored("hello!", "A"), scored("Hello", "b")]
    assert exact_duplicates(rows) == [False, True, False]


def test_a_row_that_contradicts_an_earlier_one_is_refused():
    rows = [scored("Hello", "a"), scored("hello!", "b"), scored("Bye", "b")]
    assert contradictions(rows) == [False, True, False]


def test_a_near_input_with_the_same_answer_is_refused():
    rows = [scored("a", "x", vector=NORTH), scored("b", "x", vector=NEARLY_NORTH)]
    assert near_duplicates(rows, 10) == ([0], [1])


def test_a_near_input_with_another_answer_stays():
    rows = [scored("a", "x", vector=NORTH), scored("b", "y", vector=NEARLY_NORTH)]
    assert near_duplicates(rows, 10) == ([0, 1], [])


def test_the_walk_stops_when_it_has_enough():
    rows = [
        scored("a", "x", vector=NORTH),
        scored("b", "x", vector=EAST),
        scored("c", "z", vector=NORTH),
    ]
    assert near_duplicates(rows, 2) == ([0, 1], [])
    assert near_duplicates([], 2) == ([], [])


def test_near_inputs_are_twins_whatever_their_answers():
    rows = [
        scored("a", "x", vector=NORTH),
        scored("b", "y", vector=EAST),
        scored("c", "z", vector=NEARLY_NORTH),
    ]
    assert twin_groups(rows, by_answer=False) == [0, 1, 0]


def test_rows_with_one_long_answer_are_twins_where_answers_are_free_text():
    note = "She denies any tobacco or alcohol use."
    rows = [scored("a", note, vector=NORTH), scored("b", note.upper(), vector=EAST)]
    assert twin_groups(rows, by_answer=True) == [0, 0]
    assert twin_groups(rows, by_answer=False) == [0, 1]


SEEN_BY_NORMAL_FORM = {"upper", "spaces", "punct", "zero_width", "emoji"}


def test_variants_that_normal_form_can_see_are_grouped_in_the_real_file():
    data = shared_data()
    rows = [json.loads(line) for line in (data / "dirty/01_near_duplicates.jsonl").open()]
    keys = {row["id"]: input_key(input_text(row["messages"])) for row in rows}
    truth = json.loads((data / "dirty/keys/01_near_duplicates.json").read_text())
    variants = [entry for entry in truth if entry["kind"] in SEEN_BY_NORMAL_FORM]
    missed = [e["id"] for e in variants if keys[e["id"]] != keys[e["of"]]]
    assert (len(variants) > 50, missed) == (True, [])
