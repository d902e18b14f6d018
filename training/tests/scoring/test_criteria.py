"""Criteria as objects and as the sentences that customers write."""

import json
from dataclasses import asdict

import pytest

from modelstation.testing import shared_data
from training.scoring.criteria import CompiledChecks, compile_contract, read_criteria
from training.scoring.criterion import BEATS_BASE, MEASURED, Criterion, in_words
from training.scoring.metrics import METRICS, build_scorer
from training.scoring.sentences import FINAL_NUMBER_LINE, compile_sentence


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
        ("exact_match >= 0.9", "exact_match", ">=", 0.9),
        ("No less than 80% accuracy", "exact_match", ">=", 0.8),
        ("At most 5% of the answers are wrong", "exact_match", ">=", 0.95),
        ("Wrong answers under 5 %", "exact_match", ">", 0.95),
        ("Not more than 5% errors", "exact_match", ">=", 0.95),
        ("Invalid JSON in at most 2 %", "json_valid", ">=", 0.98),
        ("Fewer than 3% invented labels", "known_label", ">", 0.97),
        ("Never an unknown label", "known_label", ">=", 1),
        ("Always valid JSON", "json_valid", ">=", 1),
        ("Nine out of ten answers are right", "exact_match", ">=", 0.9),
        ("Accuracy must not drop below 80 percent", "exact_match", ">=", 0.8),
        ("At least 50% execution accuracy on the fixtures", "execution_accuracy", ">=", 0.5),
        ("chrF of at least 40", "chrf", ">=", 0.4),
        ("Refuses in at most 2% of the cases", "refusal", "<=", 0.02),
        ("Recall of at least 60% for every label", "least_recall", ">=", 0.6),
        ("Answers in under 2 seconds", "latency", "<", 2),
        ("Median latency at most 800 ms", "latency", "<=", 0.8),
        ("The model file is below 200 MB", "size", "<", 200),
        ("Model smaller than 1 GB", "size", "<", 1000),
        ("Median length within twice the reference", "length_ratio", "<=", 2),
        ("Median answer length of at most 12 words", "length", "<=", 12),
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
        "Not worse than the base",
        "At least 20 tokens per second",
        "Each answer within 2 seconds",
        "Average latency under 2 seconds",
        "Accuracy at least 90% within 2 seconds",
        "Less than 500 MB of memory",
        "At most 2 labels are wrong",
        "At least 5 answers are exactly right",
        "The label is never wrong more than 5% of the time",
        "Accuracy of at most 90%",
        "F1 of at least 0.8",
        "",
    ],
)
def test_a_sentence_that_states_no_check_we_have_is_left_unread(sentence):
    assert compile_sentence(sentence) is None


@pytest.mark.parametrize(
    ("sentence", "value", "options"),
    [
        ("No answer longer than 50 words", 1, {"most": 50, "unit": "words"}),
        ("At least 95% of answers have at most 20 words", 0.95, {"most": 20, "unit": "words"}),
        ("Answers of fewer than 200 characters", 1, {"most": 199, "unit": "characters"}),
    ],
)
def test_a_bound_on_each_answers_length_is_a_share_of_answers(sentence, value, options):
    check = compile_sentence(sentence)
    assert (check.metric, check.op, check.value) == ("length_within", ">=", value)
    assert check.options == options


def test_a_sentence_may_name_a_label_a_pattern_or_an_answer():
    labels = ["fraud_alert", "no"]
    check = compile_sentence("Recall of fraud_alert at least 90%", labels)
    assert (check.metric, check.options) == ("label_recall", {"label": "fraud_alert"})
    assert compile_sentence("Recall of no less than 90%", labels) is None  # "no" is a word too
    check = compile_sentence("Every answer matches the pattern `^[A-Z]{4}$`")
    assert (check.metric, check.value, check.options) == ("regex", 1, {"pattern": "^[A-Z]{4}$"})
    check = compile_sentence("The answer is 'unknown' in at most 10 % of the rows")
    assert (check.metric, check.op, check.options) == ("answer_share", "<=", {"answer": "unknown"})


def test_a_contract_says_each_check_in_words_and_survives_json():
    written = [
        "Answers in under 2 seconds",
        "Be nice.",
        {"metric": "regex", "value": 1, "pattern": "x"},
    ]
    contract = compile_contract(written, metric="exact_match", labels=None)
    kept = CompiledChecks(**json.loads(json.dumps(asdict(contract))))
    assert kept == contract
    assert kept.unread == ["Be nice."]
    assert [check["metric"] for check in kept.checks] == [
        "latency",
        "regex",
        BEATS_BASE,
        "not_worse_than_rival",
    ]
    assert kept.checks[0]["words"] == (
        "Passes when the median time of one answer, asked one by one on the machine that "
        "evaluates is less than 2 seconds."
    )
    assert kept.criteria() == read_criteria(written, with_rivals=True)


def test_the_digest_changes_with_any_check_and_a_changed_contract_is_refused():
    contract = compile_contract(["Accuracy of at least 80%"], metric="exact_match", labels=None)
    other = compile_contract(["Accuracy of at least 81%"], metric="exact_match", labels=None)
    assert contract.digest != other.digest
    contract.checks[0]["value"] = 0.1
    with pytest.raises(ValueError, match="not the one that was frozen"):
        contract.criteria()


@pytest.mark.parametrize("name", [*METRICS, *MEASURED])
def test_every_metric_is_said_in_words(name):
    options = {"label": "x", "answer": "x", "pattern": "x", "most": 3, "unit": "words"}
    said = in_words(Criterion(name, "<=", 0.5, options=options))
    assert f"Passes when {name} is" not in said
    assert "{" not in said
    assert said.startswith("Passes when ")
    assert "at most" in said


def test_unread_sentences_are_named_and_beating_the_base_is_always_required():
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


def test_the_format_of_a_final_number_line_is_recognised():
    metric = build_scorer("regex", {"pattern": FINAL_NUMBER_LINE}, [])
    assert metric("2 + 2 = 4\n#### 4", "") == metric("#### -1,200.5 ", "") == 1
    assert metric("#### 4\nDone.", "") == metric("#### four", "") == metric("4", "") == 0


def test_the_sentences_of_the_real_intents_are_read_or_said_to_be_unread():
    tasks = json.loads((shared_data() / "eval" / "intents.json").read_text())["tasks"]
    sentences = [sentence for task in tasks for sentence in task["success_criteria"]]
    criteria = read_criteria(sentences)
    assert {check.metric for check in criteria.checks} <= {BEATS_BASE, *MEASURED, *METRICS}
    assert criteria.unread == []


def test_a_digest_of_an_earlier_release_still_holds():
    """Contracts frozen in databases are judged by: neither shape nor digest may change."""
    checks = [
        {"metric": "exact_match", "op": ">=", "value": 0.8, "of": None, "options": {},
         "sentence": "exact match at least 80 %", "words": "…"},
        {"metric": "regex", "op": ">=", "value": 1.0, "of": None, "options": {"pattern": "x"},
         "sentence": "", "words": "…"},
        {"metric": "beats_base", "op": ">", "value": 0.0, "of": None, "options": {},
         "sentence": "", "words": "…"},
    ]  # fmt: skip
    kept = CompiledChecks(
        "exact_match",
        checks,
        [],
        "f240ab51a8f9b6797214959b576df135e0a4e98dff0b5131037b4b9f0f507cf4",
    )
    assert [check.metric for check in kept.criteria().checks] == [
        "exact_match",
        "regex",
        BEATS_BASE,
    ]
