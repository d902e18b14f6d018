"""What of a request reaches the engine: penalties, biases, and JSON schemas or their refusal."""

import pytest

from models_app.tests.gateway.test_gateway import (
    error_of,
    live_model,
    post,
)

pytestmark = pytest.mark.django_db
COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


@pytest.fixture
def model(org):
    return live_model(org)


def test_penalties_and_biases_reach_the_engine(api, server, model):
    asked = {"presence_penalty": 0.5, "frequency_penalty": -1, "logit_bias": {"17": -100, "3": 2.5}}

    assert post(api, **asked).status_code == 200

    config = server.calls[0].config
    assert (config.presence_penalty, config.frequency_penalty) == (0.5, -1)
    assert config.logit_bias == {17: -100, 3: 2.5}
    assert config.top_logprobs is None
    assert config.json_schema is None


@pytest.mark.parametrize(
    ("response_format", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {}),
        ({"type": "json_schema", "json_schema": {"name": "c", "schema": COLOUR}}, COLOUR),
        (
            {"type": "json_schema", "json_schema": {"name": "c", "strict": True, "schema": COLOUR}},
            COLOUR,
        ),
    ],
)
def test_a_response_format_becomes_the_engines_schema(api, server, model, response_format, schema):
    assert post(api, response_format=response_format).status_code == 200
    assert server.calls[0].config.json_schema == schema


def test_a_schema_that_refers_to_its_own_parts_is_taken(api, server, model):
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "not": {"type": "string", "pattern": "^[a-z]+$"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
            }
        },
    }
    named = {"name": "tree", "schema": tree}

    answer = post(api, response_format={"type": "json_schema", "json_schema": named})

    assert answer.status_code == 200, answer.content


def nested(depth):
    schema = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "object",
        {"type": "text"},
        {"type": "object", "properties": []},
        {"type": "object", "required": "colour"},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "#/$defs/nothing"},
        {"type": "string", "pattern": "^[a-z+$"},
        {"not": {"type": "string"}},
        {"type": "object", "properties": {"a": {"if": {"type": "string"}}}},
        {"type": "array", "items": {"type": "string"}, "maxItems": 100_000},
        {"enum": ["x" * 70_000]},
        {"$schema": ["2020-12"]},
        {"$schema": True},
        {"$schema": {}},
        {"$schema": "http://["},
        {"$schema": 2020},
        nested(40),
        nested(90),
    ],
)
def test_a_bad_schema_is_refused_at_its_place(api, server, model, schema):
    named = {"name": "answer", "schema": schema}

    answer = post(api, response_format={"type": "json_schema", "json_schema": named})

    error = error_of(answer, 400)
    assert error["code"] == "invalid_value"
    assert error["param"] == "response_format.json_schema.schema"
    assert server.calls == []


def test_a_schema_that_is_deeper_than_any_body_is_refused(api, server, model):
    named = {"name": "answer", "schema": nested(400)}
    answer = post(api, response_format={"type": "json_schema", "json_schema": named})
    assert "nested deeper than" in error_of(answer, 400)["message"]


@pytest.mark.parametrize(
    ("described", "param"),
    [
        (None, "response_format.json_schema"),
        ({"schema": COLOUR}, "response_format.json_schema.name"),
        ({"name": "a b", "schema": COLOUR}, "response_format.json_schema.name"),
        ({"name": "a", "schema": COLOUR, "strict": 1.5}, "response_format.json_schema.strict"),
    ],
)
def test_a_schema_needs_a_name(api, server, model, described, param):
    answer = post(api, response_format={"type": "json_schema", "json_schema": described})
    assert error_of(answer, 400)["param"] == param
