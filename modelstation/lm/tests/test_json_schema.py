import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelstation.lm.json_schema import (
    CHOICES,
    MAPPINGS,
    MAX_DEPTH,
    UNENFORCEABLE,
    VALUES,
    SchemaRefused,
    check_schema,
    misfit,
    parse_schema,
)

TREE = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {"type": "object", "properties": {"not": {"$ref": "#/$defs/node"}}}},
}
KEYWORDS = [
    *UNENFORCEABLE, *VALUES, *CHOICES, *MAPPINGS, "$schema", "$ref", "$id", "$anchor", "type",
    "enum", "const", "prefixItems", "required", "pattern", "format", "minLength", "maxItems",
    "minimum", "multipleOf", "title", "default",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYWORDS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)


def nested(depth):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        TREE,
        {"type": "string", "pattern": "[a-z]+"},
        {"patternProperties": {"^creative[-_ ]?works?$": {"type": "string"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "null"},
        {"$id": "https://example.org/x", "$ref": "#/$defs/x", "$defs": {"x": {"type": "null"}}},
        {"$ref": "#x", "$defs": {"x": {"$anchor": "x", "type": "null"}}},
        {"type": "string", "format": "email"},
        {"anyOf": [{"type": "null"}, True]},
        {"properties": {"$ref": {"type": "string"}}},
        nested(MAX_DEPTH),
    ],
    ids=str,
)
def test_what_an_answer_can_be_held_to_is_accepted(schema):
    assert check_schema(schema) is schema


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (None, "must be a JSON object"),
        ([], "must be a JSON object"),
        ({"type": "objekt"}, "not valid at type"),
        ({"properties": {"a": {"uniqueItems": False}}}, "at properties.a: “uniqueItems” cannot"),
        ({"properties": {"a": {"minimum": "x"}}}, "not valid at properties.a.minimum"),
        ({"anyOf": [{"$dynamicRef": "#a"}]}, "at anyOf.0: “.dynamicRef” cannot"),
        ({"$ref": "https://example.org/s.json"}, "nothing is fetched"),
        ({"$ref": "#/$defs/nothing"}, "leads to no part"),
        ({"$ref": "#/required", "required": ["a"]}, "leads to no part"),
        ({"$ref": "#"}, "refers to itself"),
        ({"allOf": [{"anyOf": [{"$ref": "#"}]}]}, "refers to itself"),
        ({"properties": {"a": {"$id": "x"}}}, "at the top only"),
        ({"pattern": "^[a-z+$"}, "not valid at pattern"),
        ({"pattern": "a{99999999999}"}, "cannot be used"),
        ({"format": "colour"}, "“colour” is unknown"),
        ({"maxItems": 100_000}, "at most 2,000"),
        ({"$schema": "http://["}, "draft of json-schema.org"),
        ({"const": float("nan")}, "JSON does not have"),
        ({"enum": ["x" * 70_000]}, "longer than 64,000"),
        (nested(MAX_DEPTH + 1), "nested more than 32"),
        (nested(5_000), "nested more than 32"),
    ],
)
def test_what_cannot_be_enforced_is_refused_with_reason_and_place(schema, reason):
    with pytest.raises(SchemaRefused, match=reason):
        check_schema(schema)


def test_references_that_multiply_are_refused():
    """Each doubles the work of the one before: no value could be checked against the first."""
    twice = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(50)}
    with pytest.raises(SchemaRefused, match="too many branches"):
        check_schema({"$ref": "#/$defs/d0", "$defs": twice | {"d50": {}}})


@pytest.mark.parametrize("keyword", UNENFORCEABLE)
def test_a_keyword_that_cannot_be_enforced_may_be_the_name_of_a_property(keyword):
    check_schema({"properties": {keyword: {"type": "string"}}})


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(KEYWORDS), JSON))
def test_whatever_is_called_a_schema_is_accepted_or_refused(schema):
    with suppress(SchemaRefused):
        misfit("{}", check_schema(schema))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "This is not JSON: .* at line 1, column 2"),
        ("[]", "must be a JSON object"),
        ("[" * 9_000, "nested more than"),
        ('{"const": NaN}', "JSON does not have"),
    ],
)
def test_a_text_of_a_form_is_refused_at_its_place(text, reason):
    with pytest.raises(SchemaRefused, match=reason):
        parse_schema(text)


def test_an_empty_text_is_no_schema():
    assert parse_schema(" \n") is None
    assert parse_schema(json.dumps(TREE)) == TREE


def test_a_misfit_is_named_at_its_place():
    schema = {"properties": {"amount": {"type": "number"}}}
    assert misfit('{"amount": 3}', schema) == ""
    assert misfit("no", schema) == "It is not JSON."
    assert misfit('{"amount": "x"}', schema) == "At amount: 'x' is not of type 'number'."


@pytest.mark.parametrize(
    "target",
    [{"type": "zz"}, {"pattern": "("}, {"required": 5}, {"multipleOf": 0}, {"not": {}}, {}],
)
def test_a_reference_leads_to_a_part_that_was_checked(target):
    with pytest.raises(SchemaRefused, match="a place where no schema stands"):
        check_schema({"$ref": "#/foo", "foo": target})


def test_a_place_is_named_as_it_is_spelled():
    with pytest.raises(SchemaRefused, match=r"not valid at \$defs: 5 is not"):
        check_schema({"$defs": 5})
