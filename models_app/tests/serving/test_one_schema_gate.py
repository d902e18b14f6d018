"""The same schema gets the same verdict from forms, pipeline, gateway and engine."""

import json

from django.forms import ValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework import serializers

from distillation.pipeline.understand.intent import edits_from
from distillation.pipeline.understand.json_schema import learn_schema
from models_app.gateway.formats import wanted_schema
from models_app.playground.forms import PlaygroundForm
from models_app.serving.engine import GenerationConfig
from models_app.serving.errors import ServingError
from models_app.serving.json_schemas import enforceable, grammar
from modelstation.lm.json_schema import UNENFORCEABLE
from training.builds.understanding_forms import SchemaField

CHAT = [{"role": "user", "content": "Please answer."}]
QUICK = settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
PARTS = [
    *({keyword: value} for keyword in UNENFORCEABLE for value in ({}, True, [], 1, {"a": {}})),
    {"patternProperties": {"^a$": {"type": "null"}}},
    {"patternProperties": {"(": {}}},
    {"$ref": "#/$defs/x", "$defs": {"x": {"type": "null"}}},
    {"$ref": "#/nowhere"},
    {"$ref": "#/foo", "foo": {"type": "zz"}},
    {"$ref": "#/foo", "foo": {"not": {}}},
    {"$ref": "http://10.0.0.1/"},
    {"$ref": "#"},
    {"type": "nonsense"},
    {"type": "string", "pattern": "[a-z]"},
    {"type": "string", "format": "colour"},
    {"minItems": 3_000},
    {"enum": ["x" * 63_000]},
    {"enum": ["x" * 70_000]},
    {},
]


def of_playground(schema):
    form = PlaygroundForm.__new__(PlaygroundForm)
    form.cleaned_data = {"schema": json.dumps(schema)}
    return form.clean_schema()


PLACES = {
    "gateway": lambda schema: wanted_schema(
        {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    ),
    "engine": enforceable,
    "llama.cpp": lambda schema: grammar(schema, [2]),
    "pipeline": lambda schema: edits_from({"json_schema": schema}),
    "form of the intent": lambda schema: SchemaField(max_length=100_000).clean(json.dumps(schema)),
    "form of the playground": of_playground,
}


def verdict(place, schema):
    try:
        PLACES[place](schema)
    except (ServingError, ValueError, ValidationError, serializers.ValidationError) as error:
        return next(text for text in _texts(error) if text)
    return ""


def _texts(error):
    match error:
        case ServingError():
            return [error.message]
        case ValidationError():
            return error.messages
        case serializers.ValidationError():
            return [str(error.detail["json_schema"]["schema"][0])]
    return [f"{error}.".removeprefix("json_schema: ")]


@QUICK
@given(part=st.sampled_from(PARTS), depth=st.integers(0, 34))
def test_every_place_says_the_same_of_a_schema(part, depth):
    schema = part
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}

    said = {place: verdict(place, schema) for place in PLACES}

    assert len(set(said.values())) == 1, said


NAMES = st.sampled_from(["due date", "bs", "b", "ab c", "a bc", "city", "cities", "toString", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@QUICK
@given(
    answers=st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=3),
    named=st.lists(NAMES, min_size=2, max_size=5, unique=True),
    no_others=st.booleans(),
)
def test_what_the_pipeline_infers_is_accepted_everywhere(engine, answers, named, no_others):
    schema = learn_schema(answers, named, no_others=no_others)
    if schema is None:
        return

    assert {place: verdict(place, schema) for place in PLACES} == dict.fromkeys(PLACES, "")
    engine.generate(CHAT, GenerationConfig(4, json_schema=schema))


def test_examples_that_are_too_deep_for_a_schema_infer_none():
    deep = []
    for _ in range(60):
        deep = [deep]
    assert learn_schema([{"a": deep}]) is None


def test_two_spellings_of_one_key_are_one_pattern(engine):
    schema = learn_schema([], ["ab c", "a bc"])

    assert len(schema["patternProperties"]) == 1
    engine.generate(CHAT, GenerationConfig(4, json_schema=schema))
