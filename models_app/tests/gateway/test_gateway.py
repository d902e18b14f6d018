"""OpenAI's surface, through its own client too; the model server is played by a few lines."""

import json

import openai
import pytest
from rest_framework.test import APIClient

from models_app.gateway.model_resolver import tuned_name
from models_app.models import CustomModel, UsageRecord
from modelstation import testing
from modelstation.core.errors import Unavailable, UserFacingError
from modelstation.testing import make_base, make_model

pytestmark = pytest.mark.django_db
CHAT = "/v1/chat/completions"
ASKED = {"model": "bank-intents", "messages": [{"role": "user", "content": "My card is lost"}]}


@pytest.fixture
def model(org):
    return live_model(org)


def live_model(org):
    model = make_model(org)
    model.live_version = make_version(model, 1)
    model.save()
    return model


def make_version(model, number, state="ready"):
    return testing.make_version(model, number, state=state, system_prompt=f"Prompt {number}.")


def post(api, **change):
    asked = {key: value for key, value in (ASKED | change).items() if value is not ...}
    return api.post(CHAT, asked, format="json")


def events_of(response):
    lines = b"".join(response.streaming_content).decode().split("\n\n")
    assert lines[-1] == ""
    return [line.removeprefix("data: ") for line in lines[:-1]]


def error_of(response, status):
    assert response.status_code == status, response.content
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


# --- Strangers first ------------------------------------------------------------------------------


def test_a_strangers_models_do_not_exist(stranger, server, model):
    for name in ("bank-intents", "bank-intents:v1"):
        error = error_of(post(stranger, model=name), 404)
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert error_of(stranger.get(f"/v1/models/{name}"), 404)["code"] == "model_not_found"
    assert "bank-intents" not in str(stranger.get("/v1/models").json())
    assert server.calls == []


@pytest.mark.parametrize("key", ["", "sk-nonsense", "ms_nonsense"])
def test_a_wrong_key_is_told_as_openai_tells_it(key, org):
    caller = APIClient(HTTP_AUTHORIZATION=f"Bearer {key}") if key else APIClient()

    for response in (caller.get("/v1/models"), caller.post(CHAT, ASKED, format="json")):
        assert error_of(response, 401)["code"] == "invalid_api_key"


def test_a_session_does_not_open_this_door(as_alice, org):
    assert error_of(as_alice.get("/v1/models"), 401)["code"] == "invalid_api_key"


# --- Which model answers --------------------------------------------------------------------------


def test_a_slug_serves_the_live_version_with_its_system_prompt(api, server, model, settings):
    body = post(api).json()

    assert body["object"] == "chat.completion"
    assert body["model"] == "bank-intents"
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "lost_card",
        "refusal": None,
    }
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 2,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    gguf, folder, messages, *_ = server.calls[0]
    assert gguf == settings.ARTIFACTS_DIR / str(model.id) / "v1" / "gguf" / "model-q8_0.gguf"
    assert folder == gguf.parent
    assert messages == [{"role": "system", "content": "Prompt 1."}, *ASKED["messages"]]


def test_a_version_can_be_pinned(api, server, model):
    make_version(model, 2, state="draft")

    assert post(api, model="bank-intents:v2").json()["model"] == "bank-intents:v2"
    assert server.calls[0].messages[0]["content"] == "Prompt 2."
    assert error_of(post(api, model="bank-intents:v3"), 404)["code"] == "model_not_found"


def test_a_base_answers_by_its_name_without_a_prompt_and_is_counted(api, server, model, settings):
    assert post(api, model="smollm2-135m-instruct").status_code == 200
    assert server.calls[0].tokenizer_folder == settings.MODELS_DIR / "smollm2-135m-instruct"
    assert server.calls[0].messages == ASKED["messages"]
    record = UsageRecord.objects.get()
    assert (record.model, record.version) == ("smollm2-135m-instruct", None)
    assert (record.org.slug, record.prompt_tokens) == ("acme", 11)


def test_a_model_that_was_never_published_is_not_found(api, server, org):
    make_model(org, name="New")

    assert error_of(post(api, model="new"), 404)["code"] == "model_not_found"


def test_the_requests_own_system_prompt_wins(api, server, model):
    own = [{"role": "developer", "content": "Be rude."}, {"role": "user", "content": "Hi"}]

    post(api, messages=own)

    assert server.calls[0].messages == [{"role": "system", "content": "Be rude."}, own[1]]


def test_models_and_bases_are_listed(api, model, django_assert_num_queries):
    make_base("absent", is_installed=False)
    make_model(model.org, name="Unpublished")
    api.get("/v1/models")

    with django_assert_num_queries(5):  # token, membership, models, versions, bases
        body = api.get("/v1/models").json()

    assert body["object"] == "list"
    assert [(row["id"], row["object"], row["owned_by"]) for row in body["data"]] == [
        ("bank-intents", "model", "acme"),
        (tuned_name(model.live_version), "model", "acme"),
        ("smollm2-135m-instruct", "model", "modelstation"),
    ]


# --- What may be asked ----------------------------------------------------------------------------


def test_sampling_options_reach_the_engine(api, server, model):
    asked = {
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "stop": "\n",
        "max_completion_tokens": 5,
        "max_tokens": 9,
    }

    assert post(api, **asked).status_code == 200

    config = server.calls[0].config
    assert (config.temperature, config.top_p, config.seed, config.stop, config.max_new_tokens) == (
        0.5,
        0.9,
        7,
        ("\n",),
        5,
    )


def test_a_top_p_of_nought_leaves_the_likeliest_token(api, server, model):
    assert post(api, top_p=0).status_code == 200
    assert 0 < server.calls[0][3].top_p < 0.01


def test_content_in_text_parts_is_joined(api, server, model):
    parts = [{"type": "text", "text": "My card "}, {"type": "text", "text": "is lost"}]

    post(api, messages=[{"role": "user", "content": parts}])

    assert server.calls[0].messages[-1]["content"] == "My card is lost"


@pytest.mark.parametrize(
    "change",
    [
        {"user": "u1", "metadata": {"a": "b"}, "store": True, "service_tier": "auto"},
        {
            "n": 1,
            "frequency_penalty": 0,
            "presence_penalty": 0.0,
            "logit_bias": {},
            "logprobs": False,
        },
        {"response_format": {"type": "text"}, "tools": [], "tool_choice": "none"},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        {"messages": [{"role": "user", "content": "Hi", "name": "eve", "weight": 0}]},
        {
            "temperature": None,
            "stop": None,
            "max_tokens": None,
            "stream_options": None,
            "tools": None,
        },
    ],
)
def test_what_is_harmless_is_ignored(api, server, model, change):
    assert post(api, **change).status_code == 200


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": ...}, "model", "missing_required_parameter"),
        ({"messages": ...}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_required_parameter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages.0.content",
            "invalid_value",
        ),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_value"),
        ({"stop": {"a": 1}}, "stop", "invalid_value"),
        ({"seed": 2**80}, "seed", "invalid_value"),
        ({"stream_options": "yes"}, "stream_options", "invalid_value"),
        ({"n": 9}, "n", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"top_logprobs": 3}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"presence_penalty": 2.1}, "presence_penalty", "invalid_value"),
        ({"logit_bias": {"a": 1}}, "logit_bias.a", "invalid_value"),
        ({"logit_bias": {"7": 101}}, "logit_bias.7", "invalid_value"),
        ({"logit_bias": dict.fromkeys(map(str, range(1025)), 0)}, "logit_bias", "invalid_value"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"tools": {}}, "tools", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "unsupported_value"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            "tool_choice",
            "unsupported_value",
        ),
        ({"functions": [{"name": "f"}]}, "functions", "unsupported_value"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"response_format": "json_object"}, "response_format.type", "invalid_value"),
        ({"top_k": 5}, "top_k", "unknown_parameter"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(api, server, model, change, param, code):
    error = error_of(post(api, **change), 400)

    assert (error["param"], error["code"]) == (param, code)
    assert error["type"] == "invalid_request_error"
    assert server.calls == []


def test_a_body_that_is_no_json_and_an_unknown_address_keep_the_shape(api):
    assert error_of(api.generic("POST", CHAT, "{", content_type="application/json"), 400)
    assert error_of(api.put(CHAT), 405)["code"] == "method_not_allowed"
    assert error_of(api.get("/v1/nothing"), 404)["code"] == "not_found"


# --- Failures of the server -----------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_server_that_is_down_is_a_503_to_retry(api, server, model, stream):
    server.error = Unavailable("The model server is not running.", code="model_server_unavailable")

    response = post(api, stream=stream)

    assert error_of(response, 503)["type"] == "server_error"
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_that_does_not_fit_is_refused_with_its_status(api, server, model, stream):
    server.error = UserFacingError(
        "9000 tokens do not fit into 8192.", code="context_length_exceeded", param="messages"
    )

    error = error_of(post(api, stream=stream), 400)

    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")


@pytest.mark.parametrize(
    "failure", [UserFacingError("The model server went away."), RuntimeError("secret")]
)
def test_a_failure_inside_a_stream_is_an_event(api, server, model, failure):
    server.error_after = failure

    events = events_of(post(api, stream=True))

    assert json.loads(events[-1])["error"]["type"] == "server_error"
    assert "secret" not in events[-1]
    assert not UsageRecord.objects.exists()


# --- Streams, headers, records --------------------------------------------------------------------


def test_a_stream_is_role_pieces_reason_usage_and_done(api, server, model):
    response = post(api, stream=True, stream_options={"include_usage": True})
    *chunks, done = events_of(response)
    chunks = [json.loads(chunk) for chunk in chunks]

    assert response["Content-Type"] == "text/event-stream"
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "lost_"},
        {"content": "card"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [
        None,
        None,
        None,
        "stop",
    ]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 13


def test_usage_comes_only_when_asked_for(api, server, model):
    assert '"usage"' not in "".join(events_of(post(api, stream=True)))


@pytest.mark.parametrize("stream", [False, True])
def test_each_answer_is_counted_on_its_version_and_token(api, server, model, stream):
    response = post(api, stream=stream)
    if stream:
        events_of(response)

    record = UsageRecord.objects.get()
    assert (record.version, record.token.name) == (model.live_version, "test")
    assert (record.prompt_tokens, record.completion_tokens) == (11, 2)


@pytest.mark.django_db(transaction=True)  # the foreign key is checked at the commit
def test_a_model_deleted_while_it_answers_still_finishes_its_answer(api, server, model):
    response = post(api, stream=True)
    CustomModel.objects.filter(id=model.id).delete()

    assert events_of(response)[-1] == "[DONE]"
    record = UsageRecord.objects.get()
    assert (record.model, record.version, record.completion_tokens) == ("bank-intents", None, 2)


def test_answers_and_errors_carry_an_id_and_their_time(api, server, model):
    for response in (post(api), post(api, n=9), api.get("/v1/models")):
        assert response["x-request-id"].startswith("req_")
        assert int(response["openai-processing-ms"]) >= 0
        assert response["openai-version"] == "2020-10-01"
        assert response["openai-organization"] == "acme"


# --- The client that everybody has ----------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_openai_client_chats_streams_lists_and_understands_our_errors(sdk, server, model):
    answer = sdk.chat.completions.create(**ASKED, temperature=0)
    assert answer.choices[0].message.content == "lost_card"
    assert answer._request_id.startswith("req_")

    stream = sdk.chat.completions.create(
        **ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == "lost_card"
    )
    assert chunks[-1].usage.total_tokens == 13

    slug, tuned, base = [model.id for model in sdk.models.list()]
    assert (slug, base) == ("bank-intents", "smollm2-135m-instruct")
    assert tuned.startswith("ft:smollm2-135m-instruct:acme:bank-intents:")
    assert sdk.models.retrieve("bank-intents:v1").owned_by == "acme"

    with pytest.raises(openai.NotFoundError) as missing:
        sdk.chat.completions.create(**ASKED | {"model": "nobody"})
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.chat.completions.create(**ASKED, n=9)
    assert refused.value.param == "n"
    with pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="wrong").models.list()
    server.error = Unavailable("The model server is not running.", code="model_server_unavailable")
    with pytest.raises(openai.InternalServerError):
        sdk.chat.completions.create(**ASKED)
    server.error, server.error_after = None, UserFacingError("The model server went away.")
    with pytest.raises(openai.APIError, match="went away"):
        list(sdk.chat.completions.create(**ASKED, stream=True))
