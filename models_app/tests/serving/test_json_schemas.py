"""The grammar of an answer: it fits the schema, and blanks between tokens have an end.

The worst of models is had by biases: one that would rather write blanks than anything else.
"""

import json
import re

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models_app.serving.engine import Engine, GenerationConfig
from models_app.serving.errors import ServingError
from models_app.serving.json_schemas import enforceable, grammar
from modelstation.lm.chat import load_renderer
from modelstation.lm.loading import base_folder
from modelstation.testing import REPOSITORY

CHAT = [{"role": "user", "content": "Please answer."}]
STRING = re.compile(r'"(?:\\.|[^"\\])*"?')
# Wanted in this order, so that answers come to their end.
LIKES = {'"': 500.0, "}": 400.0, "]": 400.0, ",": 200.0, ":": 200.0}
INVOICE = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{4}$"},
        "lines": {
            "type": "array",
            "minItems": 2,
            "items": {
                "type": "object",
                "properties": {"what": {"type": "string"}, "cents": {"type": "integer"}},
                "required": ["what", "cents"],
                "additionalProperties": False,
            },
        },
        "paid": {"type": ["boolean", "null"]},
    },
    "required": ["number", "lines", "paid"],
    "additionalProperties": False,
}
ARRAY = {"type": "array"}
SCHEMAS = [
    {},  # json_object
    {"type": "object"},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
    {"type": "array"},
    {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
    {"type": "array", "prefixItems": [{"const": 1}, {"type": "null"}], "minItems": 2},
    {"type": "string", "maxLength": 3},
    {"type": "integer", "minimum": 10, "maximum": 99},
    {"type": ["string", "null", "array"]},
    {"enum": [{"a": [1, 2]}, [3, 4]]},
    {
        "$ref": "#/$defs/tree",
        "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    },
    {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    },
    {"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"], "type": "object"}]},
    INVOICE,
]
LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"const": "a  b"},
        {"enum": ["x", 7, None, [1, {"k": 2}]]},
        {"type": "string", "format": "date"},
    ]
)


def objects_of(schemas):
    def described(properties, are_required, others):
        names = list(properties)
        return {
            "type": "object",
            "properties": properties,
            "required": names if are_required else names[:1],
            "additionalProperties": others,
        }

    names = st.sampled_from(["a", "b c", "ß", 'q"'])
    properties = st.dictionaries(names, schemas, max_size=3)
    return st.builds(described, properties, st.booleans(), st.booleans())


def arrays_of(schemas):
    def described(items, least, more):
        return {"type": "array", "items": items, "minItems": least, "maxItems": least + more}

    return st.builds(described, schemas, st.integers(0, 3), st.integers(0, 2))


def choices_of(schemas):
    return st.builds(lambda some: {"anyOf": some}, st.lists(schemas, min_size=1, max_size=3))


ANY_SCHEMA = st.recursive(
    LEAVES, lambda inner: objects_of(inner) | arrays_of(inner) | choices_of(inner), max_leaves=6
)


@pytest.fixture(scope="module")
def biases(exported):
    """By the weight of blanks: of every token that is one, or holds one."""
    renderer = load_renderer(exported)
    texts = {token: renderer.show([token]) for token in renderer.vocabulary().values()}
    likes = {token: LIKES[text] for token, text in texts.items() if text in LIKES}
    likes |= dict.fromkeys(renderer.stop_token_ids, 600.0)

    def biases(weight):
        blank = re.compile(r"^\s+$" if weight > 0 else r"\s")
        return likes | {t: weight for t, text in texts.items() if blank.search(text)}

    return biases


@pytest.fixture(scope="module")
def write(engine, biases):
    def write(schema, *, blanks, max_new_tokens=300):
        config = GenerationConfig(max_new_tokens, json_schema=schema, logit_bias=biases(blanks))
        return engine.generate(CHAT, config)

    return write


def between(text):
    """The answer with every string emptied: what is blank there lies between tokens."""
    return STRING.sub('""', text)


def check(write, schema):
    spaced = write(schema, blanks=300.0)
    compact = write(schema, blanks=-300.0)

    assert not re.search(r"\s(?<![,:] )|\s\s", between(spaced.text)), spaced.text
    assert not re.search(r"\s", between(compact.text)), compact.text
    for answer in (spaced, compact):
        assert answer.finish_reason == "stop", answer.text
        jsonschema.validate(json.loads(answer.text), schema or {"type": "object"})


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_who_loves_blanks_writes_one_between_two_tokens_at_most(write, schema):
    check(write, schema)


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_a_number_ends_where_the_model_would_end_it(write, kind):
    """It could always go on, and the token to end with is the one that models are taught."""
    answer = write({"type": kind}, blanks=300.0)

    assert (answer.finish_reason, len(answer.text)) == ("stop", 1)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(schema=ANY_SCHEMA)
def test_so_it_is_for_any_schema(write, schema):
    check(write, schema)


@pytest.mark.parametrize(
    "value",
    [{}, [], {"a": 1}, [1, 2], {"a": [1, {"b": None}], "c": "x,  y: z"}, [[], [[]], {"k": {}}]],
    ids=str,
)
def test_json_is_taken_minified_and_with_single_blanks(write, value):
    """As the constants are, which leave a model nothing but how to write them."""
    spaced = write({"const": value}, blanks=300.0).text
    compact = write({"const": value}, blanks=-300.0).text

    assert json.loads(spaced) == json.loads(compact) == value
    assert between(spaced) == between(json.dumps(value))
    assert between(compact) == between(json.dumps(value, separators=(",", ":")))


def test_a_schema_cannot_loosen_its_own_grammar():
    loose = {"lenient": True, "whitespace_flexible": True}
    told = grammar({"type": "array", "x-guidance": loose}, [2])

    assert "lenient" not in told
    assert '"whitespace_flexible": true' not in told
    assert enforceable({"x-guidance": loose}) == {"type": "object"}


def test_a_number_that_json_does_not_have_is_refused():
    with pytest.raises(ServingError, match="number") as refused:
        grammar({"const": float("nan")}, [2])
    assert refused.value.code == "invalid_json_schema"


@pytest.mark.slow
def test_an_untrained_model_answers_with_what_parses_and_fits():
    try:
        folder = base_folder(REPOSITORY / "var" / "models", "smollm2-135m-instruct")
    except ValueError as absent:
        pytest.skip(str(absent))
    engine = Engine(folder / "model-q8_0.gguf", folder, n_ctx=512, n_threads=1, n_parallel=1)
    chat = [{"role": "user", "content": "An invoice for two coffees, as JSON."}]
    short = {"what": {"type": "string", "maxLength": 12}, "cents": {"enum": [100, 250, 399]}}
    line = INVOICE["properties"]["lines"]["items"] | {"properties": short}
    lines = {"type": "array", "minItems": 1, "maxItems": 2, "items": line}
    schema = INVOICE | {"properties": INVOICE["properties"] | {"lines": lines}}

    for temperature in (0.0, 2.0):
        answer = engine.generate(chat, GenerationConfig(400, temperature, json_schema=schema))
        assert answer.finish_reason == "stop", answer.text
        jsonschema.validate(json.loads(answer.text), schema)
        assert not re.search(r"\s\s", between(answer.text))
    engine.close()
