"""The vLLM client against a server that checks requests as vLLM's protocol has them."""

import json
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from models_app.models import ModelVersion
from models_app.serving import client
from models_app.serving.client import Completion, GenerationConfig
from models_app.serving.errors import ServingError
from models_app.serving.vllm import Adapter, Vllm
from models_app.serving_paths import base_paths, engine_paths
from modelstation.core.errors import UserFacingError
from modelstation.lm.chat import load_renderer
from modelstation.testing import make_model

KEY = "key of vllm"
BASE = "tiny-base"
HELLO = [{"role": "user", "content": "Please answer."}]
FIELDS = {
    "model": str,
    "prompt": list,
    "max_tokens": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "top_k": int,
    "min_p": (int, float),
    "repetition_penalty": (int, float),
    "cache_salt": str,
    "stop": list,
    "stop_token_ids": list,
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
    "logit_bias": dict,
    "seed": int,
    "logprobs": int,
    "response_format": dict,
    "stream": bool,
    "stream_options": dict,
}


class StandIn:
    """Of vLLM's OpenAI server with runtime LoRA updating."""

    def __init__(self):
        self.adapters, self.asked, self.unloaded = {}, [], []
        self.max_model_len = 200
        self.fails_with = None
        self.breaks_stream = False
        routes = [
            Route("/v1/load_lora_adapter", self.load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", self.unload, methods=["POST"]),
            Route("/v1/completions", self.completions, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)

    async def load(self, request):
        body = await request.json()
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        if set(body) != {"lora_name", "lora_path"}:
            return error(400, "Both 'lora_name' and 'lora_path' must be provided.")
        if body["lora_name"] in self.adapters:
            return error(400, f"The lora adapter '{body['lora_name']}' has already been loaded.")
        self.adapters[body["lora_name"]] = body["lora_path"]
        return PlainTextResponse(f"Success: LoRA adapter '{body['lora_name']}' added.")

    async def unload(self, request):
        name = (await request.json())["lora_name"]
        if name not in self.adapters:
            return error(404, f"The lora adapter '{name}' cannot be found.")
        del self.adapters[name]
        self.unloaded.append(name)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed.")

    async def completions(self, request):
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        body = await request.json()
        self.asked.append(body)
        if self.fails_with:
            return error(*self.fails_with)
        if (problem := self.problem(body)) is not None:
            return problem
        if body.get("stream"):
            return StreamingResponse(self.events(body), media_type="text/event-stream")
        choice = {"index": 0, "text": "ab", "finish_reason": "stop"}
        choice["logprobs"] = logprobs(["a", "b"]) if "logprobs" in body else None
        return JSONResponse({"choices": [choice], "usage": usage(body)})

    def problem(self, body):
        for name, value in body.items():
            if name not in FIELDS or not isinstance(value, FIELDS[name]):
                return error(400, f"Extra or wrong input: {name}")
        if not all(isinstance(token, int) for token in body["prompt"]):
            return error(400, "prompt must be token ids")
        if not all(key.isdigit() for key in body["logit_bias"]):
            return error(400, "logit_bias keys must be token ids")
        if body["model"] not in {BASE, *self.adapters}:
            return error(404, f"The model `{body['model']}` does not exist.")
        if len(body["prompt"]) >= self.max_model_len:
            return error(400, f"This model's maximum context length is {self.max_model_len}.")
        return None

    def events(self, body):
        for token in "ab":
            choice = {"index": 0, "text": token, "finish_reason": None}
            choice["logprobs"] = logprobs([token]) if "logprobs" in body else None
            yield line({"choices": [choice]})
            if self.breaks_stream:
                yield line({"error": {"message": "engine died", "code": 500}})
                return
        end = {"index": 0, "text": "", "finish_reason": "stop", "logprobs": None}
        yield line({"choices": [end]})
        yield line({"choices": [], "usage": usage(body)})
        yield "data: [DONE]\n\n"


def error(status, message):
    told = {"message": message, "type": "BadRequestError", "param": None, "code": status}
    return JSONResponse({"error": told}, status)


def line(event):
    return f"data: {json.dumps(event)}\n\n"


def usage(body):
    details = {"cached_tokens": 3}
    return {
        "prompt_tokens": len(body["prompt"]),
        "completion_tokens": 2,
        "prompt_tokens_details": details,
    }


def logprobs(tokens):
    return {
        "tokens": tokens,
        "token_logprobs": [-0.1 for _ in tokens],
        "top_logprobs": [{"z": -3.0, token: -0.1} for token in tokens],
        "text_offset": list(range(len(tokens))),
    }


@pytest.fixture(scope="module")
def served():
    stand_in = StandIn()
    server = uvicorn.Server(uvicorn.Config(stand_in.app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield stand_in, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def stand_in(served):
    stand_in, _ = served
    stand_in.adapters, stand_in.asked, stand_in.unloaded = {}, [], []
    stand_in.fails_with, stand_in.breaks_stream = None, False
    return stand_in


@pytest.fixture
def vllm(served, stand_in):
    return Vllm(served[1], KEY, secret="s", max_adapters=2)


@pytest.fixture
def ask(vllm, exported):
    def ask(adapter=None, owner="", config=None, messages=HELLO):
        config = config or GenerationConfig()
        return vllm.generate(BASE, adapter, exported, messages, config, owner=owner)

    return ask


def adapter(version="v", org="org"):
    from pathlib import Path

    return Adapter(org, version, Path("/artifacts") / version / "adapter")


def test_the_prompt_is_sent_as_the_tokens_of_our_renderer(ask, stand_in, exported):
    answer = ask()

    renderer = load_renderer(exported)
    assert stand_in.asked[0]["prompt"] == renderer.render_prompt(HELLO)
    assert stand_in.asked[0]["stop_token_ids"] == renderer.stop_token_ids
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("ab", "stop", 2)
    assert answer.cached_tokens == 3


def test_every_setting_travels(ask, stand_in):
    schema = {"type": "object"}
    config = GenerationConfig(
        max_tokens=7,
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
    answer = ask(config=config)

    [sent] = stand_in.asked
    assert (sent["max_tokens"], sent["seed"], sent["logit_bias"]) == (7, 3, {"5": -1.0})
    assert sent["response_format"]["json_schema"]["schema"] == schema
    assert [token.token for token in answer.logprobs] == ["a", "b"]
    assert [each.token for each in answer.logprobs[0].top] == ["a"]


def test_the_base_decides_no_setting_and_shares_no_cache_between_organisations(ask, stand_in):
    ask(owner="a")
    ask(owner="b")

    one, other = stand_in.asked
    assert (one["top_k"], one["min_p"], one["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert one["cache_salt"] != other["cache_salt"]
    assert one["cache_salt"] != "a"


def test_a_stream_is_the_answer_in_pieces(vllm, exported, stand_in):
    config = GenerationConfig(top_logprobs=0)
    *pieces, last = vllm.stream(BASE, None, exported, HELLO, config, owner="")

    assert isinstance(last, Completion)
    assert [piece.text for piece in pieces] == ["a", "b"]
    assert last.text == "ab"
    assert last == vllm.generate(BASE, None, exported, HELLO, config, owner="")


def test_an_adapter_is_loaded_once_under_a_name_that_nobody_can_guess(ask, stand_in, vllm):
    ask(adapter(), "org")
    ask(adapter(), "org")

    [name] = stand_in.adapters
    assert stand_in.adapters[name] == "/artifacts/v/adapter"
    assert "org" not in name
    assert {asked["model"] for asked in stand_in.asked} == {name}
    others = {vllm.adapter_name(adapter(org="b")), vllm.adapter_name(adapter("w"))}
    other_secret = Vllm("http://x", KEY, secret="t").adapter_name(adapter())
    assert len(others | {name, other_secret}) == 4


@pytest.mark.parametrize("owner", ["", "another"])
def test_another_organisation_cannot_ask_for_it(ask, stand_in, owner):
    ask(adapter(), "org")
    with pytest.raises(ServingError, match="no such model") as refused:
        ask(adapter(), owner)

    assert refused.value.code == "model_not_found"
    assert len(stand_in.asked) == 1


def test_the_least_recently_used_adapter_makes_room(ask, stand_in, vllm):
    for version in ("a", "b", "a", "c"):
        ask(adapter(version), "org")

    assert stand_in.unloaded == [vllm.adapter_name(adapter("b"))]
    assert len(stand_in.adapters) == 2


def test_an_adapter_that_is_answering_is_not_unloaded(ask, stand_in, vllm, exported):
    streams = [
        vllm.stream(BASE, adapter(name), exported, HELLO, GenerationConfig(), owner="org")
        for name in "ab"
    ]
    for stream in streams:
        next(stream)
    with pytest.raises(ServingError, match="busy") as busy:
        ask(adapter("c"), "org")
    for stream in streams:
        list(stream)

    assert busy.value.code == "server_busy"
    assert ask(adapter("c"), "org").text == "ab"


def test_an_adapter_forgotten_by_a_restart_is_loaded_again(ask, stand_in):
    ask(adapter(), "org")
    stand_in.adapters = {}

    assert ask(adapter(), "org").text == "ab"
    assert len(stand_in.adapters) == 1


def test_one_loaded_by_another_process_is_taken_as_it_is(ask, stand_in, vllm):
    stand_in.adapters = {vllm.adapter_name(adapter()): "/artifacts/v/adapter"}

    assert ask(adapter(), "org").text == "ab"


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "maximum context length is 200", "context_length_exceeded"),
        (400, "Invalid JSON schema: x", "invalid_json_schema"),
        (400, "no", "invalid_request"),
        (401, "no", "invalid_key"),
        (404, "no", "model_file_missing"),
        (429, "no", "server_busy"),
        (500, "no", "model_server_unavailable"),
    ],
)
def test_its_errors_are_ours(ask, stand_in, status, message, code):
    stand_in.fails_with = (status, message)
    with pytest.raises(ServingError) as refused:
        ask()
    assert refused.value.code == code


def test_a_long_prompt_is_told(ask):
    with pytest.raises(ServingError) as refused:
        ask(messages=[{"role": "user", "content": "message " * 300}])
    assert refused.value.code == "context_length_exceeded"


def test_a_stream_that_breaks_is_told(vllm, exported, stand_in):
    stand_in.breaks_stream = True
    stream = vllm.stream(BASE, None, exported, HELLO, GenerationConfig(), owner="")

    with pytest.raises(ServingError, match="vLLM failed") as broken:
        list(stream)
    assert broken.value.code == "model_server_unavailable"


def test_a_server_that_is_down_is_told(exported):
    vllm = Vllm("http://127.0.0.1:9", KEY, secret="s")
    with pytest.raises(ServingError, match="not running") as down:
        vllm.generate(BASE, None, exported, HELLO, GenerationConfig(), owner="")
    assert down.value.code == "model_server_unavailable"


@pytest.fixture
def chosen(settings, served, stand_in, tmp_path, exported):
    settings.VLLM_URL, settings.VLLM_KEY = served[1], KEY
    settings.ARTIFACTS_DIR, settings.MODELS_DIR = tmp_path / "artifacts", tmp_path / "models"
    client._vllm.cache_clear()
    yield
    client._vllm.cache_clear()


@pytest.fixture
def version(org, db):
    model = make_model(org)
    return ModelVersion.objects.create(
        org=org,
        model=model,
        number=1,
        base=model.base,
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
    version.base.name = BASE
    gguf, _ = base_paths(version.base)

    assert client.generate(gguf, exported, HELLO).text == "ab"
    assert stand_in.asked[0]["model"] == BASE


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
