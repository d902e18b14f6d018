"""Criteria as objects and as the sentences that customers write."""

import json

import pytest

from modelstation.testing import shared_data
from training.evaluation.criteria import (
    BEATS_BASE,
    FINAL_NUMBER_LINE,
    Criterion,
    compile_sentence,
    read_criteria,
)
from training.evaluation.criterion import MEASURED
from training.evaluation.metrics import build_metric, metric_names


@pytest.mark.parametrize(
    ("sentence", "metric", "op", "value"),
    [
        ("Exact label accuracy of at least 75% on held-out messages", "exact_match", ">=", 0.75),
        ("At least 99% of the answers are one of the known labels", "known_label", ">=", 0.99),
        ("The last line has the #### form in at least 95% of the answers", "regex", ">=", 0.95),
        ("At least 98% of the answers parse in SQLite", "sql_parses", ">=", 0.98),
        ("Macro recall of at least 55%", "macro_recall", ">=", 0.55),
        ("Macro F1 above 0.6", "macro_f1", ">", 0.6),
        ("ROUGE-L F1 of at least 0.25", "rougeL_f1", ">=", 0.25),
        ("Entity F1 of at least 0.25", "entity_f1", ">=", 0.25),
        ("At least 98% valid JSON", "json_valid", ">=", 0.98),
        ("Token F1 of at least 0.55 against the reference", "token_f1", ">=", 0.55),
        ("The first word is the named tool in at least 95%", "first_token_match", ">=", 0.95),
        ("Accuracy above the majority class (55%)", "exact_match", ">", 0.55),
        ("accuracy >= 80 percent", "exact_match", ">=", 0.8),
        ("More than 90 % of answers are exactly right", "exact_match", ">", 0.9),
        ("The final number is right in at least 40% of the cases", "final_number_match", ">=", 0.4),
    ],
)
def test_a_plain_sentence_becomes_a_check(sentence, metric, op, value):
    check = compile_sentence(sentence)
    assert check is not None
    assert (check.metric, check.op, check.value) == (metric, op, pytest.approx(value))
    assert check.sentence == sentence


@pytest.mark.parametrize(
    ("sentence", "of"),
    [
        ("The final number is right more often than with the base model", "final_number_match"),
        ("Beats the base model", None),
        ("Better than its untuned base", None),
    ],
)
def test_a_sentence_about_the_base_becomes_a_comparison(sentence, of):
    check = compile_sentence(sentence)
    assert check is not None
    assert (check.metric, check.of) == (BEATS_BASE, of)


@pytest.mark.parametrize(
    "sentence",
    [
        "Answers should sound friendly",
        "Accuracy must be high",
        "Accuracy between 70% and 90%",
        "No accuracy above 50% is needed",
        "Accuracy of at least 900",
        "At least 40 points more accuracy than the base",
        "",
    ],
)
def test_a_sentence_that_states_no_check_we_have_is_left_unread(sentence):
    assert compile_sentence(sentence) is None


def test_unread_sentences_are_named_and_beating_the_base_is_always_asked():
    criteria = read_criteria(["Macro recall of at least 55%", "Be nice."])
    assert [check.metric for check in criteria.checks] == ["macro_recall", BEATS_BASE]
    assert criteria.unread == ["Be nice."]
    assert [check.metric for check in read_criteria([]).checks] == [BEATS_BASE]
    assert [check.metric for check in read_criteria([{"metric": BEATS_BASE}]).checks] == [
        BEATS_BASE
    ]


def test_objects_become_checks():
    criteria = read_criteria(
        [
            {"metric": "exact_match", "op": ">", "value": 0.5},
            {"metric": "known_label", "value": 1, "labels": ["a", "b"]},
            {"sentence": "Macro F1 of at least 0.5"},
        ]
    )
    assert criteria.checks[0] == Criterion("exact_match", ">", 0.5)
    assert criteria.checks[1].options == {"labels": ["a", "b"]}
    assert criteria.checks[2].metric == "macro_f1"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"metric": "bleu", "value": 1}, "unknown metric 'bleu'"),
        ({"metric": "exact_match"}, "needs a value"),
        ({"metric": "exact_match", "value": 75}, "between 0 and 1"),
        ({"metric": "exact_match", "value": True}, "between 0 and 1"),
        ({"metric": "exact_match", "op": "==", "value": 0.5}, "op must be one of"),
        ({"metric": "regex", "value": 0.5}, "needs 'pattern'"),
        ({}, "unknown metric None"),
    ],
)
def test_a_malformed_object_is_refused(item, said):
    with pytest.raises(ValueError, match=said):
        read_criteria([item])


def test_the_form_of_a_final_number_line_is_told_apart():
    metric = build_metric("regex", {"pattern": FINAL_NUMBER_LINE}, [])
    assert metric("2 + 2 = 4\n#### 4", "") == metric("#### -1,200.5 ", "") == 1
    assert metric("#### 4\nDone.", "") == metric("#### four", "") == metric("4", "") == 0


def test_the_sentences_of_the_real_intents_are_read_or_said_to_be_unread():
    tasks = json.loads((shared_data() / "eval" / "intents.json").read_text())["tasks"]
    sentences = [sentence for task in tasks for sentence in task["success_criteria"]]
    criteria = read_criteria(sentences)
    assert {check.metric for check in criteria.checks} <= {BEATS_BASE, *MEASURED, *metric_names()}
    assert criteria.unread == []
