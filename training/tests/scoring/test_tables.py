"""Confusion of labels and the table of JSON fields."""

import json

from training.scoring.tables import MOST_LABELS, commonest_object, confusion, field_table


def test_the_confusion_counts_what_was_expected_against_what_was_answered():
    result = confusion(["A", "b", "b", "noise"], ["a", "a", "b", "b"], None)
    assert result["labels"] == ["a", "b", "other"]
    assert result["counts"] == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_only_the_most_frequent_labels_have_a_line_and_no_row_is_lost():
    references = [f"label_{i % 40}" for i in range(400)]
    result = confusion(references, references, None)
    assert len(result["labels"]) == MOST_LABELS + 1
    assert sum(map(sum, result["counts"])) == 400
    assert result["counts"][-1][-1] == 100  # ten labels share the last line


def test_texts_and_json_are_no_labels_unless_the_task_names_some():
    texts = [f"A sentence of its own, number {i}." for i in range(20)]
    assert confusion(texts, texts, None) is None
    assert confusion(["{}"] * 20, ["{}"] * 20, None) is None
    assert confusion(["a"], ["a"], ["a", "b"])["labels"] == ["a", "other"]


def test_fields_are_distinguished_and_the_worst_comes_first():
    references = [json.dumps({"city": "Rome", "who": ["Ann", "Bob"]})] * 2
    tuned = [json.dumps({"city": "Rome", "who": ["Ann"]}), json.dumps({"city": "Rome", "x": 1})]
    who, city = field_table(tuned, ["broken", "{}"], references)
    assert city == {
        "field": "city",
        "support": 2,
        "precision": 1.0,
        "recall": 1.0,
        "f1": 1.0,
        "base_f1": 0.0,
        "examples": [],
    }
    # Ann of Ann, Bob in one row and nothing in the other: 1 hit of 1 predicted and 4 expected
    assert (who["field"], who["precision"], who["recall"], who["f1"]) == ("who", 1.0, 0.25, 0.4)
    assert who["examples"][0] == {
        "index": 0,
        "expected": ['"Ann"', '"Bob"'],
        "found": ['"Ann"'],
    }


def test_a_task_of_other_answers_has_no_fields():
    assert field_table(["yes"], ["no"], ["yes"]) is None


def test_the_commonest_object_does_not_mind_the_order_of_keys():
    texts = ['{"a": 1, "b": 2}', '{"b": 2, "a": 1}', '{"c": 3}', '{"c": 3']
    assert json.loads(commonest_object(texts)) == {"a": 1, "b": 2}
    assert commonest_object(["broken"]) == "{}"
