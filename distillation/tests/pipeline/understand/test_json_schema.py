import pytest
from jsonschema import Draft202012Validator

from distillation.pipeline.understand.json_schema import (
    keys_of,
    learn_schema,
    refuses_other_keys,
    schema_of_values,
)

NAMES = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        (["a", "b"], {"type": "string"}),
        ([1, 2], {"type": "integer"}),
        ([1, 2.5], {"type": "number"}),
        ([True], {"type": "boolean"}),
        (["a", None], {"type": ["null", "string"]}),
        ([["a"], []], NAMES),
        ([[]], {"type": "array"}),
        ([], {}),
    ],
)
def test_the_schema_of_values_is_their_common_type(values, schema):
    assert schema_of_values(values) == schema


def test_required_are_the_keys_that_every_example_has():
    schema = learn_schema([{"a": 1, "b": "x"}, {"a": 2}])
    assert schema["properties"] == {"a": {"type": "integer"}, "b": {"type": "string"}}
    assert schema["required"] == ["a"]
    assert "additionalProperties" not in schema


def test_an_empty_answer_among_the_examples_requires_nothing_and_is_allowed():
    schema = learn_schema([{"person": ["Ada"]}, {}], no_others=True)
    assert "required" not in schema
    validator = Draft202012Validator(schema)
    assert validator.is_valid({})
    assert not validator.is_valid({"animal": ["cat"]})
    assert not validator.is_valid({"person": "Ada"})


def test_an_object_inside_is_described_and_what_lies_deeper_is_only_an_object():
    schema = learn_schema([{"to": {"city": "Rome", "geo": {"lat": 1.0}}, "n": [{"x": 1}]}])
    city = {"city": {"type": "string"}, "geo": {"type": "object"}}
    assert schema["properties"]["to"]["properties"] == city
    assert schema["properties"]["n"]["items"]["properties"] == {"x": {"type": "integer"}}


def test_a_key_of_several_words_may_be_spelled_in_any_usual_way():
    named = ("persons", "places", "creative works")
    schema = learn_schema([{"person": ["Ada"]}, {"place": ["Rome"]}], named, no_others=True)
    validator = Draft202012Validator(schema)
    for key in ("creative-work", "creative_work", "creative works", "creativework"):
        assert validator.is_valid({key: ["Dune"]}), key
        assert not validator.is_valid({key: "Dune"}), key
    assert keys_of(schema) == ("person", "place", "creative work")


def test_a_key_of_one_word_is_spelled_as_it_is_named():
    assert keys_of(learn_schema([], ("vendor", "due_date"))) == ("vendor", "due_date")


def test_a_list_that_does_not_know_the_examples_keys_is_of_something_else():
    assert keys_of(learn_schema([{"city": "Rome"}], ("news", "blogs", "mails"))) == ("city",)


@pytest.mark.parametrize(
    ("words", "refuses"),
    [
        ("No other keys.", True),
        ("with exactly these keys", True),
        ("Only the fields a and b.", True),
        ("never add a new key", True),
        ("The keys are a and b.", False),
        ("No other text.", False),
    ],
)
def test_other_keys_are_refused_only_where_the_words_say_so(words, refuses):
    assert refuses_other_keys(words) is refuses
