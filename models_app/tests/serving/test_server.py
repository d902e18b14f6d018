"""The model server, and the web process's client of it, over a real port."""

import subprocess
import sys
import threading
import time

import httpx
import pytest
import uvicorn

from models_app.serving import client
from models_app.serving.client import Completion, GenerationConfig
from models_app.serving.engine import Engine
from models_app.serving.pool import EnginePool
from models_app.serving.server import build_app
from modelstation.core.errors import UserFacingError
from modelstation.testing import REPOSITORY

KEY = "a key of the tests"
HELLO = [{"role": "user", "content": "Please answer."}]
SHORT = GenerationConfig(max_new_tokens=8)


@pytest.fixture(scope="module")
def address(exported):
    pool = EnginePool(make=lambda gguf, folder: Engine(gguf, folder, n_ctx=256, n_threads=1))
    app = build_app(key=KEY, roots=[exported], pool=pool)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
    pool.close()


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
    return paths | {"messages": HELLO, "config": {"max_new_tokens": 4}} | changes


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
        assert path not in refused.text  # where things lie is nobody's business


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": "hello"},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 3}]},
        {"config": {"max_new_tokens": 0}},
        {"config": {"max_new_tokens": "many"}},
        {"config": {"no_such_setting": 1}},
        {"gguf": None},
    ],
)
def test_a_request_that_cannot_be_read_is_a_400(post, exported, wrong):
    refused = post("/generate", asked(exported, **wrong))

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_request"


def test_the_client_gets_an_answer_whole_and_in_pieces(model_server, exported):
    assert client.health()
    whole = client.generate(exported / "model.gguf", exported, HELLO, SHORT)
    *pieces, last = client.stream(exported / "model.gguf", exported, HELLO, SHORT)

    assert isinstance(whole, Completion)
    assert "".join(piece.text for piece in pieces) == whole.text
    assert last == whole


def test_a_stream_that_is_left_early_frees_the_engine(model_server, exported):
    stream = client.stream(
        exported / "model.gguf", exported, HELLO, GenerationConfig(max_new_tokens=200)
    )
    next(stream)
    stream.close()

    assert client.generate(exported / "model.gguf", exported, HELLO, SHORT).completion_tokens


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
    for ask in (
        lambda: client.generate("a", "b", HELLO),
        lambda: list(client.stream("a", "b", HELLO)),
    ):
        with pytest.raises(UserFacingError, match="model server is not running") as down:
            ask()
        assert down.value.code == "model_server_unavailable"
        assert down.value.hint


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
