"""What is said twice, contradicted or labelled oddly is found; what is fine is left in peace."""

import numpy as np
import pytest

from distillation.pipeline.quality import (
    QualityRow,
    conflicts,
    disagreements,
    duplicate_groups,
    is_labelled,
    learned_labels,
    quality_report,
    what_is_wrong,
)
from distillation.tests.pipeline.rows import WordsEmbedder

LABELS = {"card_arrival": "card_arrival", "lost_card": "lost_card", "refund": "refund"}


def rows(*pairs):
    vectors = WordsEmbedder().embed([text for text, _ in pairs])
    return [QualityRow(*pair, vector) for pair, vector in zip(pairs, vectors, strict=True)]


def test_near_duplicates_are_grouped_behind_their_first():
    result = duplicate_groups(
        rows(("Where is my card?", "a"), ("Close it", "b"), ("WHERE IS MY CARD", "a"), ("no", "c"))
    )
    assert [group.rows for group in result] == [(0, 2)]


def test_one_input_with_several_answers_is_a_conflict_however_it_is_spelled():
    [conflict] = conflicts(
        rows(
            ("Where is my card?", "card_arrival"),
            ("where is my card", "lost_card"),
            ("Where is my card", "Card_Arrival "),
            ("Where is my refund?", "refund"),
        )
    )
    assert conflict.answers == (("card_arrival", (0, 2)), ("lost_card", (1,)))


@pytest.mark.parametrize(
    ("answer", "reason", "meant"),
    [
        ("Card Arrival", "spelling_variant", "card_arrival"),
        ("lost-card", "spelling_variant", "lost_card"),
        ("card_arri", "truncated", "card_arrival"),
        ("The intent is lost_card.", "sentence", "lost_card"),
        ("I would say that it is about something else.", "sentence", ""),
        ("top_up", "unknown", ""),
        ("card", "unknown", ""),  # a word of a label, not a label cut within a word
        ("refunds", "unknown", ""),
    ],
)
def test_an_answer_outside_the_labels_says_why_and_which_was_meant(answer, reason, meant):
    assert what_is_wrong(answer, LABELS) == (reason, meant)


def test_labels_are_learned_in_the_style_that_nearly_all_have():
    answers = (
        ["card_arrival"] * 4 + ["lost_card"] * 3 + ["Lost Card", "card_arri", "Top Up", "a b."]
    )
    assert learned_labels(answers) == ("card_arrival", "lost_card", "top_up")


def test_free_answers_are_no_labels():
    assert is_labelled(["yes", "no"] * 5)
    assert not is_labelled([f"answer {number}" for number in range(10)])
    assert not is_labelled(["A long answer, which ends as a sentence does."] * 10)
    assert not is_labelled([])


def test_a_row_among_others_of_another_label_is_the_most_doubtful():
    cards = [(f"my card has not arrived since day {n}", "card_arrival") for n in range(4)]
    money = [(f"refund me the money of order {n}", "refund") for n in range(4)]
    given = rows(*cards, *money, ("refund me the money of order 9 please", "card_arrival"))
    result = disagreements(given)
    assert (result[0].row, result[0].suggested) == (8, "refund")
    assert result[0].neighbour in range(4, 8)
    assert result[0].score > 0.5
    assert [doubt.row for doubt in result] == [8]


def test_the_score_is_the_cosine_to_other_labels_less_that_to_its_own():
    vectors = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], dtype=np.float32)
    labels = ["a", "b", "a", "b"]
    given = [QualityRow("", label, vector) for label, vector in zip(labels, vectors, strict=True)]
    # Row 0: to b (0.8 + 0) / 2, to a 0.6. Row 1: to a (0.8 + 0.96) / 2, to b 0.6.
    result = {doubt.row: round(doubt.score, 2) for doubt in disagreements(given)}
    assert result == {1: 0.28, 2: 0.28}


def test_a_label_that_no_other_row_has_is_not_held_against_a_row():
    given = rows(*[("my card is late", "late")] * 3, ("the moon is far away", "moon"))
    assert [doubt.row for doubt in disagreements(given)] == []


def test_a_spelling_of_a_label_does_not_disagree_with_it():
    pairs = [(f"my card is late by {n} days", "card_late") for n in range(5)]
    others = [(f"send a refund of {n} pounds", "refund") for n in range(5)]
    report = quality_report(rows(*pairs, *others, ("my card is late by 9 days", "Card Late")))
    assert [(p.row, p.reason, p.meant) for p in report.label_problems] == [
        (10, "spelling_variant", "card_late")
    ]
    assert report.disagreements == ()


def test_nothing_at_all_is_a_report_too():
    report = quality_report([])
    assert (report.rows, report.labels, report.duplicates) == (0, (), ())
