"""What goes wrong, in OpenAI's shape; and its own client, which must understand it."""

import openai
import pytest

from models_app.models import UsageLimit
from models_app.serving import client
from models_app.tests.gateway.test_answers import complete
from models_app.tests.gateway.test_gateway import (
    ASKED,
    CHAT,
    error_of,
    live_model,
    post,
)
from models_app.tests.gateway.test_response_formats import COLOUR
from models_app.usage import metering
from modelstation.core import errors
from modelstation.core.errors import UserFacingError

pytestmark = pytest.mark.django_db
TEXT = "/v1/completions"


@pytest.fixture
def model(org):
    return live_model(org)


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
    for method in ("put", "delete", "patch"):
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
    refusal = client.Refused("No.", code=code, retry_after=7)
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

    for failure, kind in (
        (refused("generation_failed"), openai.InternalServerError),
        (refused("model_server_unavailable"), openai.InternalServerError),
        (errors.Busy("No.", code="already_building"), openai.ConflictError),
        (refused("context_length_exceeded"), openai.BadRequestError),
        (errors.Unprocessable("No.", code="reused"), openai.UnprocessableEntityError),
    ):
        monkeypatch.setattr(client, "generate", failing(failure))
        with pytest.raises(kind) as failed:
            ask(**ASKED)
        assert failed.value.code == failure.code
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


def refused(code):
    return client.Refused("No.", code=code, retry_after=None)


def failing(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.django_db(transaction=True)
def test_the_openai_client_does_not_retry_what_cannot_change(sdk_for, org, alice, monkeypatch):
    calls = []

    def conflict(*args, **kwargs):
        calls.append(args)
        raise errors.Busy("Frozen.", code="already_building")

    monkeypatch.setattr(client, "generate", conflict)
    live_model(org)
    with sdk_for(alice, org, max_retries=3) as sdk, pytest.raises(openai.ConflictError):
        sdk.chat.completions.create(**ASKED)

    assert len(calls) == 1
