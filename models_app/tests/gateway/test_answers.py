"""Several choices, schemas, logprobs, text completions, and what can go wrong on the way."""

import json
import threading

import pytest

from models_app.models import UsageRecord
from models_app.tests.gateway.test_gateway import (
    error_of,
    events_of,
    live_model,
    post,
)
from modelstation.core.errors import UserFacingError

pytestmark = pytest.mark.django_db
TEXT = "/v1/completions"


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
