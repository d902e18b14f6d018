"""What is held against a row, one check after another; all of it learned from the rows."""

import json

import pytest

from distillation.pipeline.types import Example, Requirement
from distillation.pipeline.understand.intent import understand
from distillation.teachers.filtering import agreement
from distillation.teachers.filtering.conventions import refuse_unusual
from distillation.teachers.filtering.executed import runs, same_rows
from distillation.teachers.filtering.first_look import FirstLook
from distillation.teachers.filtering.grounding import (
    date_is_in,
    number_is_in,
    shape_of,
    strange_words,
)
from distillation.teachers.filtering.rows import TaughtRow
from distillation.tests.pipeline.rows import WordsEmbedder

TABLE = "Table: data(venue TEXT, team TEXT)\nQuestion: Which venue has the team reds?"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("12", "a dozen eggs"),
        ("24", "2 dozen, please"),
        ("24", "two dozen"),
        ("6", "half a dozen"),
        ("64", "sixty-four"),
        ("600", "Six hundred of them"),
        ("1500", "one thousand five hundred"),
        ("250", "two hundred and fifty"),
        ("3", "on the third"),
        ("7", "7pcs"),
        ("1000", "1,000 pieces"),
    ],
)
def test_a_number_stands_in_a_text_in_digits_or_words(number, text):
    assert number_is_in(number, text)


@pytest.mark.parametrize(
    ("number", "text"), [("10", "a dozen"), ("64", "six and four"), ("5", "fifty"), ("2", "21")]
)
def test_another_number_does_not(number, text):
    assert not number_is_in(number, text)


@pytest.mark.parametrize(
    "text", ["by 3 March", "March 3rd", "on 03.03.", "3/3", "am 3. März", "the third of March"]
)
def test_a_date_stands_in_a_text_in_any_usual_spelling(text):
    assert date_is_in("2025-03-03", text)


def test_another_date_does_not_and_a_relative_day_decides_nothing():
    assert not date_is_in("2025-02-05", "by 2 May")
    assert not date_is_in("2025-01-01", "PO 222 - two EB-2200")
    assert date_is_in("2025-01-01", "tomorrow, please")


def test_words_are_known_in_any_of_their_forms():
    given = "Can I wash the wool blanket? Can I tumble dry it?"
    assert strange_words(given, "Can I tumble dry the cotton blankets?") == ["cotton"]
    assert shape_of("AB-1234") == shape_of("XYZ-1") != shape_of("ab-1234")


def taught(pairs):
    return [TaughtRow(i, o if isinstance(o, str) else json.dumps(o)) for i, o in pairs]


def orders(bad=()):
    good = [
        (f"Please send {n} of AB-{1000 + n} by {1 + n % 28} May", order(f"AB-{1000 + n}", n, n))
        for n in range(1, 60)
    ]
    return taught([*good, *bad])


def order(sku, quantity, day):
    return {"sku": sku, "qty": quantity, "by": f"2025-05-{1 + day % 28:02d}"}


@pytest.mark.parametrize(
    ("output", "detail"),
    [
        (order("ab-2000", 7, 4), "sku has the usual form"),
        (order("AB-2000", 8, 4), "qty stands in the input"),
        ({"sku": "AB-2000", "qty": "seven", "by": "2025-05-05"}, "qty is of one type"),
        ({"sku": "AB-2000", "qty": 7, "by": "2024-05-05"}, "by is in 2025"),
        ({"sku": "AB-2000", "qty": 7, "by": "2025-05-06"}, "by is a date of the input"),
        ({"sku": "AB-2000", "qty": 7}, "has the usual keys"),
    ],
)
def test_an_answer_that_breaks_what_all_others_keep_to_is_refused(output, detail):
    rows = orders([("We need 7 of AB-2000 by 5 May", output)])
    refuse_unusual(rows, [], "extract_json")
    assert [row.is_kept for row in rows].count(False) == 1
    assert rows[-1].detail.startswith(detail)


def test_what_an_example_of_the_user_breaks_is_no_convention():
    rows = orders([("We need 7 of AB-2000 by 5 May", order("ab-2000", 7, 4))])
    example = Example("3 of xy-1 by 2 May", json.dumps(order("xy-1", 3, 1)))
    refuse_unusual(rows, [example], "extract_json")
    assert all(row.is_kept for row in rows)


def test_few_rows_teach_no_convention():
    rows = taught([(f"What of {n}?", f"What is {n}?") for n in range(20)] + [("And?", "Sure.")])
    refuse_unusual(rows, [], "generate")
    assert all(row.is_kept for row in rows)


def test_chatter_and_answers_where_questions_are_asked_for_are_refused():
    pairs = [(f"User: And the size of part {n}?", f"What size has part {n}?") for n in range(80)]
    rows = taught([*pairs, ("User: And the price?", "Sure! What is the price?"),
                   ("User: And the colour?", "The colour is red.")])  # fmt: skip
    refuse_unusual(rows, [], "generate")
    assert [row.input for row in rows if not row.is_kept] == [
        "User: And the price?", "User: And the colour?",
    ]  # fmt: skip


def test_the_head_refuses_no_more_than_its_share_and_the_surest_first():
    words = {"plumbing": "pipe drain tap water", "electrical": "lamp fuse socket cable"}
    pairs = [
        (f"{w} {n} in room {n * 3} is {w}", label)
        for label, known in words.items()
        for w in known.split()
        for n in range(10)
    ]
    rows = taught([*pairs, ("the pipe and the drain and the tap leak water", "electrical")])
    for row in rows:
        row.verdicts = [True]
    agreement.settle(rows, "classify", WordsEmbedder().embed)
    refused = [row for row in rows if not row.is_kept]
    assert rows[-1] in refused
    assert len(refused) <= agreement.HEAD_SHARE * len(rows)
    assert "linear head" in rows[0].checked_by


def test_a_row_that_nothing_agreed_with_is_not_kept():
    [row] = rows = taught([("hello", "greeting")])
    agreement.settle(rows, "generate", WordsEmbedder().embed)
    assert row.refusal == agreement.UNCHECKED


def test_sql_is_executed_where_the_input_has_tables():
    good = "SELECT venue FROM data WHERE team = 'reds'"
    assert runs(TABLE, good)
    assert runs(TABLE, "SELECT place FROM data") is False
    assert runs(TABLE, "DROP TABLE data") is False
    assert runs("Which venue?", good) is None
    assert same_rows(TABLE, good, "select venue from data where data.team='reds'")
    assert same_rows(TABLE, good, "SELECT team FROM data") is False


def test_sql_that_does_not_run_is_refused_at_first_look():
    told = Requirement("Write one SQLite SELECT query for each question over the given table.")
    look = FirstLook(understand(told))
    row = TaughtRow(TABLE, "SELECT place FROM data")
    look.look(row)
    assert row.refusal == "its SQL does not run on the tables of its input"
