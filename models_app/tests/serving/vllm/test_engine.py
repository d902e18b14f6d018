"""The vLLM client asks as our own server is asked, and fails as it fails."""

import threading

import pytest

from models_app.gateway.paths import base_paths, engine_paths
from models_app.models import ModelVersion
from models_app.serving import client
from models_app.serving.client import Completion, GenerationConfig
from models_app.serving.errors import ServingError
from models_app.serving.vllm.engine import Vllm, VllmModel
from models_app.serving.wire import GenerateRequest
from models_app.tests.serving.vllm.stand_in import BASE, HELLO, KEY, adapter
from modelstation.core.errors import UserFacingError
from modelstation.lm.chat import load_renderer
from modelstation.testing import make_model

LONG = [{"role": "user", "content": "message " * 300}]


def test_the_prompt_is_sent_as_the_tokens_of_our_renderer(ask, stand_in, exported):
    answer = ask()

    renderer = load_renderer(exported)
    assert stand_in.asked[0]["prompt"] == renderer.render_prompt(HELLO)
    assert stand_in.asked[0]["stop_token_ids"] == renderer.stop_token_ids
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("ab", "stop", 3)
    assert answer.cached_tokens == 3


def test_every_setting_travels(ask, stand_in):
    schema = {"type": "object"}
    config = GenerationConfig(
        max_new_tokens=7,
        temperature=0.5,
        top_p=0.9,
        stop=("x",),
        seed=3,
        presence_penalty=1,
        frequency_penalty=0.5,
        logit_bias={5: -1.0},
        top_logprobs=1,
        json_schema=schema,
    )
    ask(config=config)

    [sent] = stand_in.asked
    assert (sent["max_tokens"], sent["seed"], sent["logit_bias"]) == (7, 3, {"5": -1.0})
    assert (sent["logprobs"], sent["return_tokens_as_token_ids"]) == (1, True)
    assert sent["response_format"]["json_schema"]["schema"] == schema


def test_the_base_decides_no_setting_and_shares_no_cache_between_organisations(ask, stand_in):
    ask(owner="a")
    ask(owner="b")

    one, other = stand_in.asked
    assert (one["top_k"], one["min_p"], one["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert one["cache_salt"] != other["cache_salt"]
    assert one["cache_salt"] != "a"


def test_a_stream_is_the_answer_in_pieces(ask, stream):
    *pieces, last = stream()

    assert isinstance(last, Completion)
    assert [piece.text for piece in pieces] == ["a", "b"]
    assert last.text == "ab"
    assert last == ask()


def test_a_stop_text_is_never_streamed_not_even_in_part(stream, stand_in):
    stand_in.answer = [*stand_in.ids("one two three"), stand_in.end]
    *pieces, last = stream(config=GenerationConfig(stop=("two th",)))

    assert "".join(piece.text for piece in pieces) == last.text == "one "
    assert last.finish_reason == "stop"


def test_an_answer_beyond_the_context_ends_there(ask, stream, stand_in):
    count = ask().prompt_tokens
    stand_in.answer = stand_in.ids("one two three four five six seven")

    stand_in.max_model_len = count + 4
    restarted = ask(config=GenerationConfig(max_new_tokens=9_999))
    *_, streamed = stream(config=GenerationConfig(max_new_tokens=9_999))

    assert (restarted.completion_tokens, restarted.finish_reason) == (4, "length")
    assert streamed == restarted
    assert stand_in.asked[-1]["max_tokens"] == 4


@pytest.mark.parametrize("left", [0, -3])
def test_a_prompt_that_fills_the_context_is_refused_unasked(ask, stand_in, vllm, left):
    count = ask().prompt_tokens
    stand_in.max_model_len = count + left
    vllm._context_lengths = {}
    with pytest.raises(ServingError, match=f"has {count} tokens.* fewer than {count + left}") as no:
        ask(adapter(), "org")

    assert no.value.code == "context_length_exceeded"
    assert (len(stand_in.asked), stand_in.loads) == (1, [])


def test_a_context_that_a_restart_made_shorter_is_read_again(ask, stand_in):
    assert ask().text == "ab"
    stand_in.max_model_len = 100

    assert ask(config=GenerationConfig(max_new_tokens=150)).text == "ab"
    with pytest.raises(ServingError, match="fewer than 100") as refused:
        ask(messages=LONG)
    assert refused.value.code == "context_length_exceeded"


def test_a_context_that_vllm_does_not_tell_is_left_to_it(ask, stand_in):
    stand_in.max_model_len = None
    stand_in.fails_with = (400, "The decoder prompt is longer than the maximum model length of 9.")
    with pytest.raises(ServingError) as refused:
        ask()

    assert refused.value.code == "context_length_exceeded"
    assert len(stand_in.asked) == 1


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "This model's maximum context length is 200 tokens.", "context_length_exceeded"),
        (400, "max_tokens=9 cannot be greater than max_model_len=8.", "context_length_exceeded"),
        (400, "Failed to transform json schema into a grammar: x", "invalid_json_schema"),
        (400, "no", "invalid_request"),
        (401, "no", "invalid_key"),
        (404, "no", "model_file_missing"),
        (429, "no", "server_busy"),
        (500, "no", "model_server_unavailable"),
        (503, "no", "model_server_unavailable"),
    ],
)
def test_its_errors_are_ours(ask, stream, stand_in, status, message, code):
    stand_in.fails_with = (status, message)
    for asking in (ask, lambda: list(stream())):
        with pytest.raises(ServingError) as refused:
            asking()
        assert refused.value.code == code
        assert bool(refused.value.retry_after) == (status == 429)


@pytest.mark.parametrize(
    ("ends", "said"),
    [("error", "vLLM failed"), ("old error", "vLLM failed"), ("cut", "stopped while it answered")],
)
def test_a_stream_that_breaks_is_told(stream, stand_in, ends, said):
    stand_in.stream_ends = ends
    pieces = stream()

    assert next(pieces).text == "a"
    with pytest.raises(ServingError, match=said) as broken:
        list(pieces)
    assert broken.value.code == "model_server_unavailable"


def test_a_stream_that_is_closed_closes_its_request(stream, stand_in):
    stand_in.stream_ends = "never"
    pieces = stream(adapter(), "org")
    next(pieces)
    pieces.close()

    assert stand_in.left.wait(20)


def test_an_answer_that_takes_too_long_is_told_as_our_own_server_tells_it(
    vllm_server, stand_in, exported
):
    vllm = Vllm(vllm_server[1], KEY, secret="s", deadline_s=0.2)
    asked = (VllmModel(BASE), GenerateRequest(exported, exported, HELLO))
    stand_in.stream_ends, stand_in.holds = "never", threading.Event()
    for ask in (vllm.generate, lambda *asked: list(vllm.stream(*asked))):
        with pytest.raises(ServingError, match="not ready within 0.2 seconds") as late:
            ask(*asked)
        assert late.value.code == "deadline_exceeded"
        stand_in.holds.set()


def test_the_whole_of_a_stream_has_a_deadline(vllm_server, stand_in, exported):
    vllm = Vllm(vllm_server[1], KEY, secret="s")
    pieces = vllm.stream(VllmModel(BASE), GenerateRequest(exported, exported, HELLO))
    vllm._deadline_s = -1
    with pytest.raises(ServingError) as late:
        list(pieces)

    assert late.value.code == "deadline_exceeded"


def test_a_server_that_is_down_is_told(exported):
    vllm = Vllm("http://127.0.0.1:9", KEY, secret="s")
    with pytest.raises(ServingError, match="not running") as down:
        vllm.generate(VllmModel(BASE), GenerateRequest(exported, exported, HELLO))
    assert down.value.code == "model_server_unavailable"


@pytest.fixture
def chosen(settings, vllm_server, stand_in, tmp_path, exported):
    settings.VLLM_URL, settings.VLLM_KEY = vllm_server[1], KEY
    settings.ARTIFACTS_DIR, settings.MODELS_DIR = tmp_path / "artifacts", tmp_path / "models"
    client._vllm.cache_clear()
    yield
    client._vllm.cache_clear()


@pytest.fixture
def version(org, db):
    model = make_model(org)
    base = model.base
    base.name = BASE
    base.save()
    return ModelVersion.objects.create(
        org=org,
        model=model,
        number=1,
        base=base,
        system_prompt="",
        dataset_digest="",
        folder=f"{model.id}/v1",
        artifacts={"adapter": {}, "gguf": {}},
    )


def test_the_setting_sends_a_version_to_vllm_by_its_own_row(chosen, version, exported, stand_in):
    gguf, _ = engine_paths(version)
    answer = client.generate(gguf, exported, HELLO, owner=str(version.org_id))
    *_, last = client.stream(gguf, exported, HELLO, owner=str(version.org_id))

    assert answer == last
    [path] = stand_in.adapters.values()
    assert path.endswith(f"artifacts/{version.folder}/adapter")
    with pytest.raises(UserFacingError) as refused:
        client.generate(gguf, exported, HELLO, owner="another")
    assert refused.value.code == "model_not_found"


def test_the_setting_sends_a_base_by_its_name(chosen, version, exported, stand_in):
    gguf, _ = base_paths(version.base)

    assert client.generate(gguf, exported, HELLO).text == "ab"
    assert stand_in.asked[0]["model"] == BASE


def test_whether_vllm_is_up_is_what_pages_hear(chosen, settings):
    assert client.health()

    settings.VLLM_URL = "http://127.0.0.1:9"
    client._vllm.cache_clear()
    assert not client.health()


def test_who_leaves_a_stream_of_the_client_closes_the_request(chosen, version, exported, stand_in):
    stand_in.stream_ends = "never"
    pieces = client.stream(engine_paths(version)[0], exported, HELLO, owner=str(version.org_id))
    next(pieces)
    pieces.close()

    assert stand_in.left.wait(20)


def test_a_version_without_adapter_and_an_unknown_file_are_refused(chosen, version, tmp_path):
    version.artifacts = {"gguf": {}}
    version.save()
    paths = [engine_paths(version)[0], tmp_path / "x.gguf", tmp_path / "artifacts/no/v1/gguf/m"]
    codes = []
    for gguf in paths:
        with pytest.raises(UserFacingError) as refused:
            client.generate(gguf, tmp_path, HELLO, owner=str(version.org_id))
        codes.append(refused.value.code)

    assert codes == ["not_servable", "model_not_found", "model_not_found"]
