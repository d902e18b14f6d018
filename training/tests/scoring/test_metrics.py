"""Every metric against numbers worked out by hand, broken answers included."""

import numpy as np
import pytest

from distillation.pipeline.types import TASK_KINDS
from training.scoring.metrics import (
    METRICS,
    MODEL_METRICS,
    MetricError,
    build_scorer,
    default_metric,
    model_metric,
    objection_to_metric,
)

PLAIN = sorted(n for n, m in METRICS.items() if not m.option and not m.needs_tables)
ENTITIES = '{"person": ["Ann", "Bob"], "location": ["Rome"]}'


def score_of(name, predictions, references):
    return build_scorer(name, {}, references).score(predictions, references)


@pytest.mark.parametrize(
    ("metric", "prediction", "reference", "score"),
    [
        ("exact_match", "  Card_Arrival \n", "card_arrival", 1),
        ("exact_match", "card_arrival.", "card_arrival", 0),
        ("exact_match", "", "card_arrival", 0),
        ("json_equal", '{"b": [1, 2], "a": 1.0}', '{"a": 1, "b": [1, 2]}', 1),
        ("json_equal", '{"a": [2, 1]}', '{"a": [1, 2]}', 0),
        ("json_equal", '{"a": true}', '{"a": 1}', 0),
        ("json_equal", '{"a": "1"}', '{"a": 1}', 0),
        ("json_equal", '{"a": 1', '{"a": 1}', 0),
        ("json_equal", '```json\n{"a": 1}\n```', '{"a": 1}', 0),
        ("json_equal", '{"a": NaN}', '{"a": NaN}', 0),
        ("json_equal", "{", "{", 0),
        ("json_valid", '{"a": 1}', "{}", 1),
        ("json_valid", "Sure! {}", "{}", 0),
        ("json_valid", "[" * 100_000, "{}", 0),
        ("entity_f1", ENTITIES, ENTITIES, 1),
        # predicted (person, Ann), (location, Bob); 1 hit of 2 and 3 expected: 2·1 / (2 + 3)
        ("entity_f1", '{"person": ["Ann"], "location": ["Bob"]}', ENTITIES, 0.4),
        ("entity_f1", '{"person": ["Ann", "Ann"]}', '{"person": ["Ann"]}', 1),
        ("entity_f1", '{"person": ["ann"]}', '{"person": ["Ann"]}', 0),
        ("entity_f1", '{"person": "Ann"}', '{"person": ["Ann"]}', 1),
        ("entity_f1", "{}", "{}", 1),
        ("entity_f1", "{}", ENTITIES, 0),
        ("entity_f1", "no entities", "{}", 0),
        ("entity_f1", '["Ann"]', ENTITIES, 0),
        ("entity_f1", '{"person": {"first": "Ann"}}', ENTITIES, 0),
        # leaves: a=1, b.c="x" against a=1, b.c="y": 2·1 / (2 + 2)
        ("field_f1", '{"a": 1, "b": {"c": "x"}}', '{"b": {"c": "y"}, "a": 1}', 0.5),
        ("field_f1", "{broken", '{"a": 1}', 0),
        # tokens: ls -l -l dir against ls -l: 2 hits, 2·2 / (4 + 2)
        ("token_f1", "ls -l -l dir", "ls -l", 2 / 3),
        ("token_f1", "tar -X", "tar -x", 0.5),
        ("token_f1", "", "ls", 0),
        # longest common subsequence "the sat mat" = 3 of 4 and 5 words: 2·3 / (4 + 5)
        ("rougeL_f1", "the dog sat mat", "The cat sat on mat.", 2 / 3),
        ("rougeL_f1", "", "the cat", 0),
        ("final_number_match", "3 * 4 = 12\n#### 1,200", "so\n#### 1200", 1),
        ("final_number_match", "#### 7\n#### 12.", "#### 12.0", 1),
        ("final_number_match", "#### $12", "#### 12", 0),
        ("final_number_match", "the answer is 12", "#### 12", 0),
        ("final_number_match", "#### ,", "#### 12", 0),
        ("final_number_match", "#### -5", "#### 5", 0),
        ("final_number_match", "it makes 12 eggs", "12", 1),
        ("number_match", "none", "12", 0),
        ("contains", "The topic is card_arrival.", "Card_Arrival", 1),
        ("contains", "", "card_arrival", 0),
        ("refusal", "I'm sorry, but I can't help with that.", "yes", 1),
        ("refusal", "I cannot answer this.", "I cannot answer this.", 0),
        ("refusal", "A refusal is no sorry affair.", "yes", 0),
        ("empty", " \n", "yes", 1),
        ("chrf", "abc", "a b c", 1),
        ("chrf", "", "abc", 0),
        # n = 1: 3 of 4 and 4; n = 2: 2 of 3 and 3; n = 3: 1 of 2 and 2; n = 4: 0 of 1 and 1
        ("chrf", "abcx", "abcd", (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4),
        ("first_token_match", "git push --force", "git pull", 1),
        ("first_token_match", "", "git pull", 0),
        ("sql_parses", "SELECT name FROM people WHERE age > 3", "SELECT 1", 1),
        ("sql_parses", "SELEC name FROM people", "SELECT 1", 0),
        ("sql_parses", "SELECT name FROM people WHERE", "SELECT 1", 0),
        ("sql_parses", "SELECT 1; SELECT 2", "SELECT 1", 0),
        ("sql_parses", "  ", "SELECT 1", 0),
        ("sql_parses", "SELECT 'a\x00'", "SELECT 1", 0),
    ],
)
def test_a_pair_is_graded_as_worked_out_by_hand(metric, prediction, reference, score):
    assert build_scorer(metric, {}, [])(prediction, reference) == pytest.approx(score)


def test_entity_f1_of_a_set_counts_all_entities_together():
    # hits 1 + 0 + 0, predicted 1 + 1 + 1, expected 1 + 3 + 0; the broken answer is one too many
    predictions = ['{"person": ["Ann"]}', '{"person": ["Zoe"]}', "{broken"]
    references = ['{"person": ["Ann"]}', ENTITIES, "{}"]
    assert score_of("entity_f1", predictions, references) == pytest.approx(2 / 7)


def test_macro_f1_and_macro_recall_weigh_every_label_alike():
    references = ["a", "a", "a", "b"]
    predictions = ["A", "a", "b", "nonsense"]
    # a: 2 hits, 2 predicted, 3 expected; b: 0 hits, 1 predicted, 1 expected
    assert score_of("macro_f1", predictions, references) == pytest.approx((4 / 5 + 0) / 2)
    assert score_of("macro_recall", predictions, references) == pytest.approx((2 / 3 + 0) / 2)


def test_a_mean_metric_scores_a_set_by_its_mean():
    assert score_of("exact_match", ["a", "b", "x"], ["a", "b", "c"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", PLAIN)
def test_every_metric_stays_between_0_and_1_on_hostile_answers(name):
    answers = [
        "",
        " ",
        "{",
        "[1e999]",
        '{"a": null}',
        "#### ",
        "\x00",
        "####" * 50,
        "a" * 5000,
        "é☃",
    ]
    metric = build_scorer(name, {}, ["x", ""])
    for reference in ["x", "{}", "#### 3", ""]:
        assert all(0 <= metric(answer, reference) <= 1 for answer in answers)
        assert 0 <= metric.score(answers, [reference] * len(answers)) <= 1


@pytest.mark.parametrize("name", PLAIN)
def test_the_sums_of_a_set_add_up_row_by_row(name):
    """What the bootstrap relies upon: counting a row twice is the same as adding its sums twice."""
    predictions, references = ["a", "{}", "#### 2"], ["a", '{"p": ["x"]}', "#### 2"]
    metric = build_scorer(name, {}, references)
    doubled = metric.score([*predictions, predictions[0]], [*references, references[0]])
    sums = metric.sums(predictions, references)
    assert float(metric.combine(np.array([2.0, 1.0, 1.0]) @ sums)) == pytest.approx(doubled)


def test_known_labels_come_from_the_criterion_or_else_from_the_references():
    given = build_scorer("known_label", {"labels": ["Yes", "no", "maybe"]}, [])
    assert given.score(["maybe", "YES ", "perhaps"], ["yes", "yes", "no"]) == pytest.approx(2 / 3)
    learned = build_scorer("known_label", {}, ["yes", "no"])
    assert learned.score(["maybe", "no"], ["yes", "no"]) == 0.5


def test_a_schema_is_checked_and_a_broken_answer_does_not_fit_it():
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    metric = build_scorer("json_schema", {"schema": schema}, [])
    assert metric('{"city": "Rome"}', "") == 1
    assert metric('{"city": 3}', "") == metric("{}", "") == metric("city: Rome", "") == 0
    with pytest.raises(ValueError, match="not valid"):
        build_scorer("json_schema", {"schema": {"type": "nonsense"}}, [])


def test_an_unknown_metric_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="Unknown metric 'bleu'.*rougeL_f1"):
        build_scorer("bleu", {}, [])
    assert "exact_match" in METRICS


def test_the_table_speaks_of_kinds_of_task_that_there_are():
    kinds = {k for m in METRICS.values() for k in (*m.task_kinds, *m.default_for)}
    assert kinds <= set(TASK_KINDS)


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("classify", "exact_match"),
        ("extract_json", "json_equal"),
        ("sql", "exact_match"),
        ("number", "final_number_match"),
        ("generate", "rougeL_f1"),
        ("", "rougeL_f1"),
    ],
)
def test_every_kind_of_task_has_a_metric_that_suits_it(kind, metric):
    assert default_metric(kind) == metric
    assert objection_to_metric(metric, kind, ["anything"]) == ""


@pytest.mark.parametrize(
    ("name", "kind", "inputs", "said"),
    [
        ("macro_f1", "classify", [], ""),
        (
            "macro_f1",
            "generate",
            [],
            "kind “Label each input”, and this one is understood as “Write a text”",
        ),
        ("sql_parses", "number", [], "form of answers alone"),
        ("execution_accuracy", "classify", [], "kind “Write SQL”"),
        ("execution_accuracy", "sql", [], ""),
        ("execution_accuracy", "sql", ["How many?"], "no held-out row has tables"),
        ("execution_accuracy", "sql", ["How many?", "Table: t (a text). All?"], ""),
        ("chrf", "sql", ["anything"], ""),
    ],
)
def test_a_metric_that_cannot_be_measured_for_a_task_is_objected_to(name, kind, inputs, said):
    objection = objection_to_metric(name, kind, inputs)
    assert said in objection
    assert bool(said) == bool(objection)


@pytest.mark.parametrize(
    ("name", "said"),
    [("label_recall", "needs its label"), ("refusal", "Less of refusal"), ("bleu", "exact_match")],
)
def test_what_only_a_criterion_can_name_is_no_metric_of_a_model(name, said):
    assert name not in MODEL_METRICS
    with pytest.raises(MetricError, match=said):
        model_metric(name)


def test_sql_is_not_executed_where_no_tables_were_looked_for():
    with pytest.raises(MetricError, match="needs tables"):
        build_scorer("execution_accuracy", {}, ["SELECT 1"])
