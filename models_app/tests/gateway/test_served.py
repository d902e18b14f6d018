"""A trained version answers the `openai` client: web, model server and a tiny llama."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import jsonschema
import openai
import pytest

from models_app.gateway.model_resolver import tuned_name
from models_app.models import UsageRecord
from models_app.serving import client
from modelstation.lm.gguf.export import export_gguf
from modelstation.testing import REPOSITORY, make_model, make_version

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
KEY = "a key of the tests"
PATIENCE_SECONDS = 60
LONG = 3000  # tokens: more than are written before somebody has left
ASKED = {
    "model": "bank-intents",
    "messages": [{"role": "user", "content": "classify the message"}],
    "max_tokens": 8,
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def var(tmp_path, settings):
    settings.VAR_DIR = tmp_path
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.MODEL_SERVER_KEY = KEY
    settings.MODEL_SERVER_URL = f"http://127.0.0.1:{free_port()}"
    return tmp_path


@pytest.fixture
def model_server(var, settings):
    port = settings.MODEL_SERVER_URL.rpartition(":")[2]
    environment = {**os.environ, "MODELSTATION_VAR": str(var), "MODEL_SERVER_KEY": KEY}
    command = [sys.executable, "-m", "models_app.serving.server", "--port", port]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as process:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not client.health():
            assert process.poll() is None, "the model server ended"
            assert time.monotonic() < give_up, "the model server does not answer"
            time.sleep(0.2)
        yield process
        process.terminate()


@pytest.fixture
def version(org, var, tiny_llama, settings):
    model = make_model(org)
    model.live_version = make_version(model, state="ready", system_prompt="Answer with one word.")
    model.save()
    folder = settings.ARTIFACTS_DIR / model.live_version.folder / "gguf"
    folder.mkdir(parents=True)
    export_gguf(tiny_llama, folder / "model-q8_0.gguf")
    for path in tiny_llama.glob("*token*"):
        shutil.copy(path, folder)
    for path in tiny_llama.glob("*.jinja"):
        shutil.copy(path, folder)
    return model.live_version


def test_a_version_answers_streams_and_is_counted(model_server, version, sdk):
    answer = sdk.chat.completions.create(**ASKED)
    chunks = list(
        sdk.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True})
    )

    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert streamed == answer.choices[0].message.content
    # How much of the prompt was in the cache may differ from one call to the next.
    details = {"prompt_tokens_details"}
    assert chunks[-1].usage.model_dump(exclude=details) == answer.usage.model_dump(exclude=details)
    assert 0 < answer.usage.completion_tokens <= 8
    assert UsageRecord.objects.filter(version=version, token__name="sdk").count() == 2
    served = [model.id for model in sdk.models.list()]
    assert served == ["bank-intents", tuned_name(version), "smollm2-135m-instruct"]


def test_a_conversation_beyond_the_context_is_refused(model_server, version, sdk):
    long = [{"role": "user", "content": "message " * 20_000}]

    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            sdk.chat.completions.create(**ASKED | {"messages": long}, stream=stream)
        assert refused.value.code == "context_length_exceeded"


def test_without_a_model_server_the_answer_is_to_try_again(version, sdk):
    with pytest.raises(openai.InternalServerError) as down:
        sdk.chat.completions.create(**ASKED)

    assert down.value.status_code == 503
    assert int(down.value.response.headers["retry-after"]) > 0


def test_a_stream_that_the_client_drops_leaves_the_server_able_to_answer_and_is_counted(
    model_server, version, sdk
):
    whole = sdk.chat.completions.create(**ASKED | {"max_tokens": LONG})
    UsageRecord.objects.all().delete()
    with sdk.chat.completions.create(**ASKED | {"max_tokens": LONG}, stream=True) as stream:
        next(iter(stream))

    record = wait_for(UsageRecord.objects.first)
    assert record.prompt_tokens == whole.usage.prompt_tokens
    assert record.completion_tokens < whole.usage.completion_tokens
    assert sdk.chat.completions.create(**ASKED).choices[0].message.role == "assistant"


def test_a_model_server_that_is_killed_in_mid_stream_ends_it_with_an_error(
    model_server, version, sdk
):
    with sdk.chat.completions.create(**ASKED | {"max_tokens": LONG}, stream=True) as stream:
        chunks = iter(stream)
        next(chunks)
        model_server.kill()
        with pytest.raises(openai.APIError, match="model server") as killed:
            list(chunks)

    assert killed.value.code == "model_server_unavailable"
    with pytest.raises(openai.InternalServerError):
        sdk.chat.completions.create(**ASKED)


def test_choices_and_texts_are_answered_and_counted(model_server, version, sdk):
    several = sdk.chat.completions.create(**ASKED, n=2, temperature=1, seed=3)
    alone = sdk.chat.completions.create(**ASKED)
    prompt = "classify the message"
    text = sdk.completions.create(model="bank-intents", prompt=[prompt, prompt], max_tokens=5)
    (streamed, *_) = sdk.completions.create(
        model="bank-intents", prompt=prompt, max_tokens=5, stream=True
    )

    assert several.usage.prompt_tokens == alone.usage.prompt_tokens
    assert len({choice.index for choice in several.choices}) == 2
    assert text.choices[0].text.startswith(streamed.choices[0].text)
    # Two prompts without a template are shorter than one within it.
    assert 0 < text.usage.prompt_tokens < 2 * alone.usage.prompt_tokens
    assert text.usage.completion_tokens <= 10
    assert set(UsageRecord.objects.values_list("model", flat=True)) == {"bank-intents"}


def test_a_schema_holds_the_answer_and_logprobs_tell_of_each_token(model_server, version, sdk):
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}, "count": {"type": "integer"}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    named = {"type": "json_schema", "json_schema": {"name": "c", "strict": True, "schema": schema}}

    held = sdk.chat.completions.create(
        **ASKED | {"max_tokens": 200}, response_format=named, logprobs=True, top_logprobs=3
    )

    (choice,) = held.choices
    if choice.finish_reason == "stop":
        jsonschema.validate(json.loads(choice.message.content), schema)
    assert choice.message.content.startswith("{")
    told = choice.logprobs.content
    assert bytes(sum((token.bytes for token in told), [])).decode().startswith('{"colour"')
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in told)

    text = sdk.completions.create(
        model="bank-intents", prompt="classify", max_tokens=4, logprobs=2
    ).choices[0]
    assert len(text.logprobs.tokens) == len(text.logprobs.text_offset) > 0


def test_a_bias_keeps_a_token_out_and_a_penalty_changes_the_answer(model_server, version, sdk):
    plain = sdk.chat.completions.create(**ASKED | {"max_tokens": 40}, logprobs=True)
    penalised = sdk.chat.completions.create(
        **ASKED | {"max_tokens": 40}, frequency_penalty=2, presence_penalty=2
    )

    assert penalised.choices[0].message.content != plain.choices[0].message.content


def wait_for(found):
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (value := found()):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return value
