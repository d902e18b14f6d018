"""Several choices, schemas, logprobs, text completions, and what can go wrong on the way."""

import json
import threading

import openai
import pytest

from models_app.models import UsageLimit, UsageRecord
from models_app.serving import client
from models_app.tests.gateway.test_gateway import (
    ASKED,
    CHAT,
    error_of,
    events_of,
    live_model,
    post,
)
from models_app.usage import metering
from modelstation.core.errors import UserFacingError

pytestmark = pytest.mark.django_db
TEXT = "/v1/completions"
COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


@pytest.fixture
def model(org):
    return live_model(org)


def complete(api, **change):
    asked = {"model": "bank-intents", "prompt": "My card"} | change
    return api.post(TEXT, asked, format="json")


def leave(response):
    """As a client does that hangs up; the test keeps its connection."""
    response._iterator.close()


def chunks_of(response):
    *chunks, done = events_of(response)
    assert done == "[DONE]"
    return [json.loads(chunk) for chunk in chunks]


# --- Several choices ------------------------------------------------------------------------------


def test_choices_have_seeds_of_their_own_and_their_prompt_counts_once(api, server, model, org):
    body = post(api, n=3, seed=7).json()

    assert [(each["index"], each["message"]["content"]) for each in body["choices"]] == [
        (0, "lost_card7"),
        (1, "lost_card8"),
        (2, "lost_card9"),
    ]
    assert body["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 6,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    record = UsageRecord.objects.get()
    assert (record.prompt_tokens, record.completion_tokens, record.cached_tokens) == (11, 6, 4)
    assert {call.owner for call in server.calls} == {str(org.id)}


def test_a_stream_of_several_choices_carries_their_indexes(api, server, model):
    response = post(api, n=3, seed=0, stream=True, stream_options={"include_usage": True})
    chunks = chunks_of(response)

    assert [chunk["choices"][0]["index"] for chunk in chunks[:3]] == [0, 1, 2]
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in chunks[:3])
    texts, reasons = {0: "", 1: "", 2: ""}, {}
    for chunk in chunks[3:-1]:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
        if choice["finish_reason"]:
            reasons[choice["index"]] = choice["finish_reason"]
    assert texts == {0: "lost_card", 1: "lost_card1", 2: "lost_card2"}
    assert reasons == dict.fromkeys(range(3), "stop")
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]) == ([], 6)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert UsageRecord.objects.count() == 1


def test_choices_are_written_at_the_same_time(api, server, model):
    """The first pieces of both come although neither may go on."""
    server.gate = threading.Event()
    response = post(api, n=2, stream=True)
    events = iter(response.streaming_content)
    seen = [json.loads(next(events)[6:])["choices"][0] for _ in range(4)]

    assert sorted(choice["index"] for choice in seen[2:]) == [0, 1]
    server.gate.set()
    assert list(events)[-1] == b"data: [DONE]\n\n"


def test_a_failure_of_one_choice_ends_the_stream_with_an_error(api, server, model):
    server.error_after = UserFacingError("The model server went away.", code="x")

    *_, last = events_of(post(api, n=2, stream=True))

    assert json.loads(last)["error"]["message"] == "The model server went away."


# --- What reaches the engine ----------------------------------------------------------------------


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


# --- Logprobs -------------------------------------------------------------------------------------


def test_logprobs_are_told_token_by_token(api, server, model):
    choice = post(api, logprobs=True, top_logprobs=2).json()["choices"][0]

    assert server.calls[0].config.top_logprobs == 2
    first, second = choice["logprobs"]["content"]
    assert (first["token"], first["logprob"], bytes(first["bytes"])) == ("lost_", -0.5, b"lost_")
    assert [each["token"] for each in first["top_logprobs"]] == ["lost_", "found"]
    assert second["top_logprobs"][1] == {"token": "é", "logprob": -1.25, "bytes": [195, 169]}
    assert choice["logprobs"]["refusal"] is None


def test_logprobs_without_alternatives_ask_for_none(api, server, model):
    post(api, logprobs=True)
    assert server.calls[0].config.top_logprobs == 0


def test_a_stream_tells_logprobs_with_each_piece(api, server, model):
    chunks = chunks_of(post(api, stream=True, logprobs=True, top_logprobs=2))

    told = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert told[0] is None
    assert told[-1] is None
    assert [each["content"][0]["token"] for each in told[1:3]] == ["lost_", "card"]


# --- Text completions -----------------------------------------------------------------------------


def test_a_prompt_is_put_to_the_model_as_it_stands(api, server, model):
    body = complete(api, max_tokens=9).json()

    _, _, messages, config, _ = server.calls[0]
    assert messages == [{"role": "raw", "content": "My card"}]
    assert config.max_new_tokens == 9
    assert body["object"] == "text_completion"
    assert body["id"].startswith("cmpl-")
    assert body["choices"] == [
        {"index": 0, "text": "lost_card", "logprobs": None, "finish_reason": "stop"}
    ]
    assert body["usage"]["total_tokens"] == 13
    assert body["system_fingerprint"].startswith("fp_")


def test_several_prompts_and_choices_are_numbered_prompt_by_prompt(api, server, model):
    body = complete(api, prompt=["a", "b"], n=2, seed=5).json()

    assert [(each["index"], each["text"]) for each in body["choices"]] == [
        (0, "lost_card5"),
        (1, "lost_card6"),
        (2, "lost_card5"),
        (3, "lost_card6"),
    ]
    assert sorted(call.messages[0]["content"] for call in server.calls) == ["a", "a", "b", "b"]
    assert body["usage"]["prompt_tokens"] == 22  # each prompt once
    assert body["usage"]["completion_tokens"] == 8


def test_without_a_length_a_text_is_as_short_as_openais(api, server, model):
    complete(api)
    assert server.calls[0].config.max_new_tokens == 16


def test_logprobs_of_a_text_are_lists_beside_one_another(api, server, model):
    (choice,) = complete(api, logprobs=2).json()["choices"]

    assert choice["logprobs"] == {
        "tokens": ["lost_", "card"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{"lost_": -1.5, "found": -1.5}, {"card": -1.25, "é": -1.25}],
        "text_offset": [0, 5],
    }


def test_a_text_streams_in_chunks_of_its_own_shape(api, server, model):
    chunks = chunks_of(
        complete(api, stream=True, logprobs=0, stream_options={"include_usage": True})
    )

    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert [choice["text"] for choice in choices] == ["lost_", "card", ""]
    assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]
    assert [choice["logprobs"]["text_offset"] for choice in choices[:2]] == [[0], [5]]
    assert chunks[-1]["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": []}, "prompt", "invalid_value"),
        ({"prompt": {"a": 1}}, "prompt", "invalid_value"),
        ({"prompt": [1, 2, 3]}, "prompt", "unsupported_value"),
        ({"prompt": [[1, 2], [3]]}, "prompt", "unsupported_value"),
        ({"prompt": ["a"] * 17}, "prompt", "invalid_value"),
        ({"echo": True}, "echo", "unsupported_value"),
        ({"suffix": "end"}, "suffix", "unsupported_value"),
        ({"best_of": 3}, "best_of", "unsupported_value"),
        ({"logprobs": 6}, "logprobs", "invalid_value"),
        ({"logprobs": True}, "logprobs", "invalid_value"),
        ({"messages": []}, "messages", "unknown_parameter"),
    ],
)
def test_what_a_text_completion_cannot_do_is_refused_by_name(
    api, server, model, change, param, code
):
    error = error_of(complete(api, **change), 400)

    assert (error["param"], error["code"]) == (param, code)
    assert server.calls == []


def test_a_text_completion_of_a_strangers_model_is_not_found(api_for, charlie, server, model):
    stranger = api_for(charlie, charlie.organizations.get())
    assert error_of(complete(stranger), 404)["code"] == "model_not_found"


# --- Who leaves early -----------------------------------------------------------------------------


def test_a_client_that_leaves_frees_the_model_and_is_counted(api, server, model):
    response = post(api, stream=True)
    events = iter(response.streaming_content)
    next(events)  # the role
    next(events)  # a first piece

    leave(response)

    assert server.closed == [None]
    record = UsageRecord.objects.get()
    # This server's tokenizer is not there to count with: a piece is a token.
    assert (record.model, record.completion_tokens) == ("bank-intents", 1)


def test_one_that_leaves_after_the_last_word_is_counted_once(api, server, model):
    response = post(api, stream=True)
    events = iter(response.streaming_content)
    while b'"stop"' not in next(events):
        pass

    leave(response)

    assert UsageRecord.objects.get().completion_tokens == 2


def test_one_that_leaves_several_choices_is_counted_for_all_of_them(api, server, model):
    server.gate = threading.Event()
    response = post(api, n=2, stream=True)
    events = iter(response.streaming_content)
    for _ in range(4):
        next(events)

    leave(response)
    server.gate.set()

    assert UsageRecord.objects.get().completion_tokens == 2


# --- Transport ------------------------------------------------------------------------------------


def test_a_body_of_ten_megabytes_is_refused_in_openais_shape(api, server, model):
    long = [{"role": "user", "content": "x" * 10_000_000}]

    for response in (post(api, messages=long), complete(api, prompt="x" * 10_000_000)):
        error = error_of(response, 413)
        assert (error["code"], error["type"]) == ("body_too_large", "invalid_request_error")


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_what_is_no_request_is_refused_in_openais_shape(api, path):
    for body in ("{", "", "[" * 100_000, '{"model": NaN}'):
        error_of(api.generic("POST", path, body, content_type="application/json"), 400)
    for body in ("[]", '"x"', "null"):
        error_of(api.generic("POST", path, body, content_type="application/json"), 400)
    wrong = api.generic("POST", path, "model=x", content_type="application/x-www-form-urlencoded")
    assert error_of(wrong, 415)["code"] == "unsupported_media_type"
    for method in ("get", "put", "delete", "patch"):
        assert error_of(getattr(api, method)(path), 405)["code"] == "method_not_allowed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("code", "status", "told", "param"),
    [
        ("invalid_json_schema", 400, "invalid_value", "response_format.json_schema.schema"),
        ("invalid_messages", 400, "invalid_value", "messages"),
        ("context_length_exceeded", 400, "context_length_exceeded", "messages"),
        ("too_large", 413, "body_too_large", None),
        ("server_busy", 429, "rate_limit_exceeded", None),
        ("model_unreadable", 500, "model_unreadable", None),
        ("model_server_unavailable", 503, "model_server_unavailable", None),
        ("deadline_exceeded", 504, "deadline_exceeded", None),
    ],
)
def test_what_the_model_server_refuses_is_told_in_openais_terms(
    api, model, monkeypatch, code, status, told, param, stream
):
    refusal = UserFacingError("No.", code=code)
    refusal.retry_after = 7
    monkeypatch.setattr(client, "generate", failing(refusal))
    monkeypatch.setattr(client, "stream", failing_at_once(refusal))

    response = post(api, stream=stream)

    error = error_of(response, status)
    assert (error["code"], error["param"]) == (told, param)
    assert response.headers.get("Retry-After") == ("7" if status in (429, 503) else None)
    is_in_vain = code in ("model_unreadable", "deadline_exceeded")
    assert response.headers.get("x-should-retry") == ("false" if is_in_vain else None)


def test_a_text_that_is_too_long_is_called_a_prompt(api, model, monkeypatch):
    refusal = UserFacingError("Too long.", code="context_length_exceeded")
    monkeypatch.setattr(client, "generate", failing(refusal))
    assert error_of(complete(api), 400)["param"] == "prompt"


def failing_at_once(error):
    def fail(*args, **kwargs):
        raise error
        yield

    return fail


@pytest.mark.parametrize("path", ["/v1/", "/v1/embeddings", "/v1/chat", "/v1/chat/completions/"])
def test_an_address_that_there_is_not_is_json(api, path):
    for response in (api.get(path), api.post(path, {}, format="json")):
        error = error_of(response, 404)
        assert error["code"] == "not_found"
        assert response["Content-Type"].startswith("application/json")
        assert response["x-request-id"].startswith("req_")


# --- The client that everybody has ----------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_openai_client_reads_choices_logprobs_schemas_and_texts(sdk, server, model):
    answer = sdk.chat.completions.create(**ASKED, n=2, seed=1, logprobs=True, top_logprobs=2)
    assert [choice.message.content for choice in answer.choices] == ["lost_card1", "lost_card2"]
    assert answer.choices[1].logprobs.content[1].top_logprobs[1].bytes == [195, 169]
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.system_fingerprint.startswith("fp_")

    schema = {"type": "json_schema", "json_schema": {"name": "c", "schema": COLOUR}}
    sdk.chat.completions.create(**ASKED, response_format=schema)
    assert server.calls[-1].config.json_schema == COLOUR

    with sdk.chat.completions.stream(**ASKED, n=2, logprobs=True) as stream:
        final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == ["lost_card", "lost_card"]

    text = sdk.completions.create(model="bank-intents", prompt=["a", "b"], logprobs=1)
    assert [choice.text for choice in text.choices] == ["lost_card", "lost_card"]
    assert text.choices[0].logprobs.text_offset == [0, 5]
    streamed = sdk.completions.create(model="bank-intents", prompt="a", stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == "lost_card"


@pytest.mark.django_db(transaction=True)
def test_the_openai_client_knows_each_of_our_failures(sdk, server, model, org, monkeypatch):
    ask = sdk.chat.completions.create
    schema = {"type": "json_schema", "json_schema": {"name": "c", "schema": {"type": "x"}}}
    with pytest.raises(openai.BadRequestError) as bad:
        ask(**ASKED, response_format=schema)
    assert bad.value.param == "response_format.json_schema.schema"
    with pytest.raises(openai.APIStatusError) as large:
        ask(model="bank-intents", messages=[{"role": "user", "content": "x" * 10_000_000}])
    assert (large.value.status_code, large.value.code) == (413, "body_too_large")
    with pytest.raises(openai.NotFoundError):
        sdk.completions.create(model="nobody", prompt="a")
    with pytest.raises(openai.NotFoundError) as nowhere:
        sdk.embeddings.create(model="bank-intents", input="a")
    assert nowhere.value.code == "not_found"

    for code, kind in (
        ("generation_failed", openai.InternalServerError),
        ("model_server_unavailable", openai.InternalServerError),
        ("already_building", openai.ConflictError),
        ("context_length_exceeded", openai.BadRequestError),
        ("idempotency_key_reused", openai.UnprocessableEntityError),
    ):
        monkeypatch.setattr(client, "generate", failing(UserFacingError("No.", code=code)))
        with pytest.raises(kind) as failed:
            ask(**ASKED)
        assert failed.value.code == code
    monkeypatch.undo()

    server.error_after = UserFacingError("Gone.", code="model_server_unavailable")
    monkeypatch.setattr(client, "stream", server.stream)
    with pytest.raises(openai.APIError, match="Gone"):
        list(ask(**ASKED, stream=True))

    UsageLimit.objects.create(org=org, tokens_per_day=0, requests_per_minute=1)
    monkeypatch.setattr(metering.time, "time", lambda: 1_800_000_000)  # within one minute
    ask(**ASKED, stream=True).close()
    with pytest.raises(openai.RateLimitError) as limited:
        ask(**ASKED)
    assert limited.value.code == "rate_limit_exceeded"
    assert int(limited.value.response.headers["retry-after"]) >= 1


def failing(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.django_db(transaction=True)
def test_the_openai_client_does_not_retry_what_cannot_change(sdk_for, org, alice, monkeypatch):
    calls = []

    def conflict(*args, **kwargs):
        calls.append(args)
        raise UserFacingError("Frozen.", code="already_building")

    monkeypatch.setattr(client, "generate", conflict)
    live_model(org)
    with sdk_for(alice, org, max_retries=3) as sdk, pytest.raises(openai.ConflictError):
        sdk.chat.completions.create(**ASKED)

    assert len(calls) == 1
