"""The model server, and the web process's client of it, over a real port."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import psutil
import pytest
import uvicorn

from models_app.serving import client
from models_app.serving.answering import Limits
from models_app.serving.client import Completion, GenerationConfig, Piece
from models_app.serving.engine import Engine
from models_app.serving.pool import EnginePool
from models_app.serving.server import build_app
from modelstation.core.errors import UserFacingError
from modelstation.lm import embedding
from modelstation.testing import REPOSITORY

KEY = "a key of the tests"
HELLO = [{"role": "user", "content": "Please answer."}]
SHORT = GenerationConfig(max_tokens=8)


LIMITS = Limits(n_ctx=256, n_parallel=2, max_waiting=2)


@contextlib.contextmanager
def serving(make, roots):
    app = build_app(key=KEY, roots=roots, pool=EnginePool(make=make), limits=LIMITS)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(exported):
    def make(gguf, folder):
        return Engine(gguf, folder, n_ctx=LIMITS.n_ctx, n_threads=1, n_parallel=LIMITS.n_parallel)

    with serving(make, [exported]) as address:
        yield address


class HeldEngine:
    """Says one word, and nothing more until it is released or nobody listens."""

    def __init__(self):
        self.released = threading.Event()

    def decode(self, prompt, config, hand_over):
        while not self.released.wait(0.01):
            if hand_over(Piece("word ")):
                return None
        return Completion("word", len(prompt), 1, "stop")

    def close(self):
        pass


@pytest.fixture
def held():
    return HeldEngine()


@pytest.fixture
def held_address(exported, settings, held):
    with serving(lambda gguf, folder: held, [exported]) as address:
        settings.MODEL_SERVER_URL = address
        settings.MODEL_SERVER_KEY = KEY
        yield address
        held.released.set()


@pytest.fixture
def model_server(address, settings):
    settings.MODEL_SERVER_URL = address
    settings.MODEL_SERVER_KEY = KEY


@pytest.fixture
def post(address):
    def post(path, body, key=KEY):
        return httpx.post(address + path, json=body, headers={"x-model-server-key": key})

    return post


def asked(exported, **changes):
    paths = {"gguf": str(exported / "model.gguf"), "tokenizer_folder": str(exported)}
    return paths | {"messages": HELLO, "config": {"max_tokens": 4}} | changes


def test_nothing_is_answered_without_the_key(address, post, exported):
    assert post("/generate", asked(exported), key="wrong").status_code == 401
    assert httpx.get(f"{address}/health").status_code == 401


@pytest.mark.parametrize("way_out", ["/etc/passwd", "{root}/../outside", "{root}/link/outside"])
def test_files_outside_the_models_are_refused(post, exported, tmp_path, way_out):
    link = exported / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path)
    path = way_out.format(root=exported)

    for field in ("gguf", "tokenizer_folder"):
        refused = post("/generate", asked(exported, **{field: path}))
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "path_refused"


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": "hello"},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 3}]},
        {"config": {"max_tokens": 0}},
        {"config": {"max_tokens": "many"}},
        {"config": {"no_such_setting": 1}},
        {"gguf": None},
    ],
)
def test_a_request_that_cannot_be_read_is_a_400(post, exported, wrong):
    refused = post("/generate", asked(exported, **wrong))

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_request"


def test_texts_to_embed_must_be_strings(post):
    for body in ({"texts": "one"}, {"texts": [1]}, {}, []):
        assert post("/embed", body).status_code == 400


def test_the_client_gets_an_answer_whole_and_in_pieces(model_server, exported):
    assert client.health()
    whole = client.generate(exported / "model.gguf", exported, HELLO, SHORT)
    *pieces, last = client.stream(exported / "model.gguf", exported, HELLO, SHORT)

    assert isinstance(whole, Completion)
    assert "".join(piece.text for piece in pieces) == whole.text
    assert last == whole


def test_a_stream_that_is_left_early_frees_the_engine(model_server, exported):
    stream = client.stream(
        exported / "model.gguf", exported, HELLO, GenerationConfig(max_tokens=200)
    )
    next(stream)
    stream.close()

    assert client.generate(exported / "model.gguf", exported, HELLO, SHORT).completion_tokens


def test_the_client_embeds(model_server, monkeypatch):
    class FakeEmbedder:
        def embed(self, texts):
            return np.array([[len(text), 0.5] for text in texts], dtype=np.float32)

    monkeypatch.setattr(embedding, "load_embedder", FakeEmbedder)

    assert client.embed(["ab", "c"]) == [[2.0, 0.5], [1.0, 0.5]]


def test_the_servers_refusals_reach_the_user_as_sentences(model_server, exported):
    long = [{"role": "user", "content": "message " * 500}]

    for ask in (client.generate, lambda *args: list(client.stream(*args))):
        with pytest.raises(UserFacingError, match="Shorten the messages") as too_long:
            ask(exported / "model.gguf", exported, long, SHORT)
        assert too_long.value.code == "context_length_exceeded"
        with pytest.raises(UserFacingError, match=r"absent\.gguf does not exist") as missing:
            ask(exported / "absent.gguf", exported, HELLO, SHORT)
        assert missing.value.code == "model_file_missing"


def test_a_server_that_is_down_is_told_with_what_to_do(settings):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"

    assert not client.health()
    for ask in (lambda: client.embed(["a"]), lambda: list(client.stream("a", "b", HELLO))):
        with pytest.raises(UserFacingError, match="model server is not running") as down:
            ask()
        assert down.value.code == "model_server_unavailable"
        assert down.value.hint


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def facts(address):
    return httpx.get(f"{address}/health", headers={"x-model-server-key": KEY}).json()


def test_a_full_queue_answers_429_and_when_to_come_back(held_address, held, exported):
    paths, found = (exported / "model.gguf", exported), []
    threads = [
        threading.Thread(
            target=lambda owner=owner: found.append(client.generate(*paths, HELLO, owner=owner))
        )
        for owner in "abcd"
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: (facts(held_address)["running"], facts(held_address)["waiting"]) == (2, 2))

    headers = {"x-model-server-key": KEY}
    body = asked(exported, owner="e")
    refused = httpx.post(f"{held_address}/generate", json=body, headers=headers)

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    with pytest.raises(UserFacingError, match="Try again shortly"):
        next(client.stream(*paths, HELLO, owner="e"))
    held.released.set()
    for thread in threads:
        thread.join(20)
    assert len(found) == 4


@pytest.mark.parametrize("streaming", [True, False])
def test_a_client_that_hangs_up_frees_its_slot(held_address, exported, streaming):
    body, headers = asked(exported, stream=streaming), {"x-model-server-key": KEY}
    with (
        contextlib.suppress(httpx.ReadTimeout),
        httpx.Client(headers=headers) as http,
        http.stream("POST", f"{held_address}/generate", json=body, timeout=0.5) as reply,
    ):
        lines = reply.iter_lines()  # held: to drop it is to hang up
        next(lines)
        assert facts(held_address)["running"] == 1

    wait_until(lambda: facts(held_address)["running"] == 0)


def test_one_who_hangs_up_in_the_queue_leaves_it(held_address, exported):
    headers = {"x-model-server-key": KEY}
    paths = (exported / "model.gguf", exported)
    running = [client.stream(*paths, HELLO, owner=owner) for owner in "ab"]
    [next(stream) for stream in running]

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{held_address}/generate", json=asked(exported), headers=headers, timeout=0.3)

    wait_until(lambda: facts(held_address)["waiting"] == 0)
    [stream.close() for stream in running]
    wait_until(lambda: facts(held_address)["running"] == 0)


def test_a_request_that_is_too_large_is_refused(post, exported):
    large = [{"role": "user", "content": "x" * (9 << 20)}]

    refused = post("/generate", asked(exported, messages=large))

    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize("streaming", [True, False])
def test_a_schema_that_is_none_is_refused_before_the_queue(model_server, exported, streaming):
    config = GenerationConfig(json_schema={"type": "nonsense"})
    ask = client.stream if streaming else client.generate

    with pytest.raises(UserFacingError, match="not valid") as refused:
        list(ask(exported / "model.gguf", exported, HELLO, config))
    assert refused.value.code == "invalid_json_schema"


def test_probabilities_and_biases_cross_the_wire(model_server, exported):
    config = GenerationConfig(max_tokens=3, top_logprobs=2, logit_bias={5: -100.0})

    whole = client.generate(exported / "model.gguf", exported, HELLO, config)
    *pieces, last = client.stream(exported / "model.gguf", exported, HELLO, config)

    assert len(whole.logprobs) == 3
    assert [len(each.top) for each in whole.logprobs] == [2, 2, 2]
    assert sum(len(piece.logprobs) for piece in pieces) == 3
    assert [each.token for each in last.logprobs] == [each.token for each in whole.logprobs]


def test_a_model_can_be_loaded_beforehand(model_server, address, exported):
    client.load(exported / "model.gguf", exported)

    assert facts(address)["models"][0]["model"] == str(exported / "model.gguf")


@pytest.fixture
def process(exported, settings, unused_port):
    """A model server of its own, under its keeper."""
    env = {
        **os.environ,
        "MODEL_SERVER_KEY": KEY,
        "MODELSTATION_VAR": str(exported),
        "MODEL_SERVER_CONTEXT": "512",
    }
    settings.MODEL_SERVER_URL = f"http://127.0.0.1:{unused_port}"
    settings.MODEL_SERVER_KEY = KEY
    command = [sys.executable, "-m", "models_app.serving.keeper", "--port", str(unused_port)]
    keeper = subprocess.Popen(command, cwd=REPOSITORY, env=env)
    wait_until(client.health, 60)
    yield psutil.Process(keeper.pid)
    keeper.terminate()
    assert keeper.wait(20) == 0


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_killed_in_mid_answer_is_told_and_started_again(process, exported):
    paths = (exported / "model.gguf", exported)
    stream = client.stream(*paths, HELLO, GenerationConfig(max_tokens=490))
    next(stream)
    (server,) = process.children()
    server.kill()

    with pytest.raises(UserFacingError) as broken:
        list(stream)
    assert broken.value.code == "model_server_unavailable"

    wait_until(client.health, 60)
    assert client.generate(*paths, HELLO, SHORT).completion_tokens


def test_the_server_starts_without_torch_and_django():
    listed = subprocess.run(
        [sys.executable, "-c", "import models_app.serving.server, sys; print(*sys.modules)"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert not {"torch", "transformers", "django", "xllamacpp"} & set(listed)


def test_the_server_wants_a_key(monkeypatch):
    monkeypatch.delenv("MODEL_SERVER_KEY", raising=False)
    command = [sys.executable, "-m", "models_app.serving.server"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert ended.returncode == 1
    assert "Set MODEL_SERVER_KEY" in ended.stderr
