"""Every field of the configuration reaches llama.cpp, and what it tells comes back."""

import json
import math

import jsonschema
import pytest

from models_app.serving.engine import Engine, GenerationConfig, ServingError, memory_needed
from modelstation.lm.chat import load_renderer

CHAT = [{"role": "user", "content": "Please answer."}]
SYSTEM = {"role": "system", "content": "You route messages of a bank. " * 3}


def ask(engine, **config):
    return engine.generate(CHAT, GenerationConfig(**{"max_new_tokens": 24} | config))


def test_logprobs_are_those_of_a_distribution(engine):
    answer = ask(engine, max_new_tokens=12, top_logprobs=5)

    assert answer.logprobs
    for token in answer.logprobs:
        assert token.logprob <= 0
        assert len(token.top) == 5
        assert sum(math.exp(each.logprob) for each in token.top) <= 1 + 1e-6
        ordered = [each.logprob for each in token.top]
        assert ordered == sorted(ordered, reverse=True)
        assert token.logprob == pytest.approx(ordered[0])  # greedy


def test_all_alternatives_together_are_certain(engine, tiny_llama):
    size = 20_000  # more than the vocabulary
    [token] = ask(engine, max_new_tokens=1, top_logprobs=size).logprobs[:1]

    assert math.fsum(math.exp(each.logprob) for each in token.top) == pytest.approx(1, abs=1e-3)


def test_the_bytes_of_the_logprobs_are_those_of_the_text(engine):
    schema = {"const": "one 日本 two 🙂 three"}
    for stop in ((), ("two t",)):  # a stop text that begins to come holds text back
        answer = ask(engine, max_new_tokens=200, top_logprobs=0, json_schema=schema, stop=stop)
        told = bytes(byte for token in answer.logprobs for byte in token.bytes)
        assert told.decode() == answer.text
        assert all(token.top == () for token in answer.logprobs)


def test_logprobs_come_with_their_pieces_in_a_stream(engine):
    config = GenerationConfig(max_new_tokens=12, top_logprobs=2)
    *pieces, completion = engine.stream(CHAT, config)

    assert tuple(token for piece in pieces for token in piece.logprobs) == completion.logprobs
    assert completion.logprobs == ask(engine, max_new_tokens=12, top_logprobs=2).logprobs


def test_without_logprobs_none_are_told(engine):
    assert ask(engine).logprobs == ()


def test_a_bias_forces_and_forbids_a_token(engine, exported):
    renderer = load_renderer(exported)
    [letter] = renderer._tokenizer.encode("x", add_special_tokens=False).ids

    assert ask(engine, max_new_tokens=4, logit_bias={letter: 100.0}).text == "xxxx"
    forbidden = ask(engine, max_new_tokens=8, logit_bias={letter: -100.0})
    assert "x" not in forbidden.text


def test_penalties_are_for_what_the_answer_repeats(engine, exported):
    renderer = load_renderer(exported)
    [letter] = renderer._tokenizer.encode("x", add_special_tokens=False).ids
    in_prompt = [{"role": "user", "content": "x x x x"}]
    liked = {letter: 30.0}

    for penalty in ({"frequency_penalty": 2.0}, {"presence_penalty": 2.0}):
        config = GenerationConfig(max_new_tokens=1, logit_bias=liked, **penalty)
        assert engine.generate(in_prompt, config).text == "x"
    repeats = ask(engine, max_new_tokens=60, logit_bias=liked).text.count("x")
    spared = ask(engine, max_new_tokens=60, logit_bias=liked, frequency_penalty=2.0).text.count("x")
    assert (repeats, spared < 60) == (60, True)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {
            "type": "object",
            "properties": {"label": {"enum": ["card", "loan"]}, "sure": {"type": "boolean"}},
            "required": ["label", "sure"],
            "additionalProperties": False,
        },
        {"enum": ["ja", "nein", "ß 🙂"]},
        {"type": "array", "items": {"type": "integer", "maximum": 9}, "minItems": 2, "maxItems": 3},
        {"$defs": {"n": {"type": "null"}}, "type": "array", "items": {"$ref": "#/$defs/n"}},
    ],
)
def test_answers_fit_the_schema(engine, schema):
    for seed in range(2):
        answer = ask(engine, max_new_tokens=200, json_schema=schema, temperature=1.0, seed=seed)
        if answer.finish_reason == "stop":
            jsonschema.validate(json.loads(answer.text), schema or {"type": "object"})
        else:
            assert answer.text.lstrip()[:1] in "{["  # a long answer cut off, yet JSON so far


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "nonsense"}, "nonsense"),
        ({"$ref": "https://example.org/s.json"}, "nothing is fetched"),
        ({"properties": {"a": {"not": {}}}}, "not"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"$ref": "#/nowhere"}, "leads to no part"),
        ({"type": "string", "pattern": "(?=x)"}, "cannot be enforced"),
        ({"type": "array", "items": {}, "minItems": 3, "maxItems": 1}, "no answer fits"),
        ({"enum": ["x" * 200_000]}, "longer"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused_with_the_reason(engine, schema, reason):
    for answer in (
        lambda config: engine.generate(CHAT, config),
        lambda config: list(engine.stream(CHAT, config)),
        lambda config: engine.generate_many([CHAT], config),
    ):
        with pytest.raises(ServingError, match=reason) as refused:
            answer(GenerationConfig(max_new_tokens=4, json_schema=schema))
        assert refused.value.code == "invalid_json_schema"


def test_a_property_may_be_called_like_a_keyword(engine):
    schema = {"type": "object", "properties": {"not": {"type": "null"}, "if": {"type": "null"}}}
    assert ask(engine, max_new_tokens=2, json_schema=schema).text


def test_characters_of_many_bytes_arrive_whole(engine):
    schema = {"const": "Grüße, 日本 🙂🏳️‍🌈"}
    *pieces, completion = engine.stream(CHAT, GenerationConfig(200, json_schema=schema))

    assert json.loads(completion.text) == schema["const"]
    assert "".join(piece.text for piece in pieces) == completion.text
    assert not any("\ufffd" in piece.text for piece in pieces)


def test_a_stop_text_is_never_streamed_not_even_in_part(engine):
    schema = {"const": "one two three four"}
    config = GenerationConfig(100, json_schema=schema, stop=("three",))
    *pieces, completion = engine.stream(CHAT, config)

    assert completion.text == '"one two '
    assert "".join(piece.text for piece in pieces) == completion.text
    assert completion.finish_reason == "stop"


def test_a_shared_system_prompt_is_read_once_in_each_slot(exported):
    engine = Engine(exported / "model.gguf", exported, n_ctx=512, n_threads=1, n_parallel=1)
    config = GenerationConfig(max_new_tokens=4)
    engine.generate([SYSTEM, {"role": "user", "content": "first"}], config)
    second = engine.generate([SYSTEM, {"role": "user", "content": "second"}], config)
    engine.close()

    assert second.cached_tokens > second.prompt_tokens / 2


def test_a_greedy_answer_does_not_depend_on_what_was_asked_before(exported):
    engine = Engine(exported / "model.gguf", exported, n_ctx=512, n_threads=1, n_parallel=2)
    config = GenerationConfig(max_new_tokens=24, top_logprobs=3)
    other = {"role": "system", "content": "You route messages of a bank. You are short."}
    question = [SYSTEM, {"role": "user", "content": "Where is my card?"}]
    between = [
        [SYSTEM, {"role": "user", "content": "Where is my card now?"}],
        question[1:],
        [other, question[1]],
    ]

    first = engine.generate(question, config)
    for messages in between:
        engine.generate(messages, config)
        engine.generate(messages, GenerationConfig(max_new_tokens=8, temperature=1))
        assert engine.generate(question, config) == first  # each probability too
    engine.close()


def test_memory_is_known_before_loading(exported, tmp_path):
    small = memory_needed(exported / "model.gguf", n_ctx=256, n_parallel=1)
    large = memory_needed(exported / "model.gguf", n_ctx=256, n_parallel=8)

    assert large > small > (exported / "model.gguf").stat().st_size
    assert memory_needed(tmp_path / "absent", n_ctx=256, n_parallel=1) == 0
    (tmp_path / "damaged").write_bytes(b"GGUF" + b"\xff" * 60)
    assert memory_needed(tmp_path / "damaged", n_ctx=256, n_parallel=1) > 0
