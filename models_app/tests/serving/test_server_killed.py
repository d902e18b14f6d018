"""Real processes: a model server that is killed, comes back; one that is stopped, drains."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest

from models_app.serving import client
from models_app.serving.client import Completion, GenerationConfig
from modelstation.core.errors import UserFacingError
from modelstation.testing import REPOSITORY

KEY = "a key of the tests"
HELLO = [{"role": "user", "content": "Please answer."}]
LONG = GenerationConfig(max_new_tokens=100_000)  # as long as the context allows


@pytest.fixture
def server(exported, settings):
    """The supervisor, with a context so long that an answer does not end by itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings.MODEL_SERVER_URL, settings.MODEL_SERVER_KEY = f"http://127.0.0.1:{port}", KEY
    environment = {
        **os.environ,
        "MODELSTATION_VAR": str(exported),
        "MODEL_SERVER_KEY": KEY,
        "MODEL_SERVER_CONTEXT": "20000",
        "MODEL_SERVER_PARALLEL": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "models_app.serving.keeper", "--port", str(port)]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as process:
        until(client.health)
        yield process
        process.terminate()


def until(condition):
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def server_process(supervisor):
    [child] = psutil.Process(supervisor.pid).children()
    return child


def ask(exported, config):
    return client.generate(exported / "model.gguf", exported, HELLO, config)


def test_a_server_killed_in_mid_stream_is_told_and_comes_back(server, exported):
    stream = client.stream(exported / "model.gguf", exported, HELLO, LONG)
    next(stream)
    server_process(server).send_signal(signal.SIGKILL)

    with pytest.raises(UserFacingError, match="stopped while it answered") as broken:
        list(stream)
    assert broken.value.code == "model_server_unavailable"
    until(client.health)
    assert ask(exported, GenerationConfig(max_new_tokens=2)).completion_tokens == 2


def test_a_server_killed_while_a_whole_answer_is_awaited_is_told(server, exported):
    heard = []

    def wait():
        try:
            heard.append(ask(exported, LONG))
        except UserFacingError as error:
            heard.append(error.code)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: facts()["queue"]["active"] == 1)
    server_process(server).send_signal(signal.SIGKILL)
    waiting.join(20)

    assert heard == ["model_server_unavailable"]


def test_a_stopped_server_ends_what_it_answers_and_takes_no_more(server, exported):
    stream = client.stream(
        exported / "model.gguf", exported, HELLO, GenerationConfig(max_new_tokens=400)
    )
    next(stream)
    server.terminate()
    *_, last = stream

    assert isinstance(last, Completion)
    assert server.wait(30) == 0
    assert not client.health()


def test_a_killed_supervisor_leaves_no_server_behind(server):
    child = server_process(server)
    server.kill()

    assert child.wait(20) is not None or not child.is_running()


def test_a_server_that_cannot_start_is_given_up():
    environment = {name: value for name, value in os.environ.items() if name != "MODEL_SERVER_KEY"}
    command = [
        sys.executable,
        "-c",
        "from models_app.serving import keeper; import sys; keeper.MOST_PAUSE_S = 0;"
        "keeper.MOST_QUICK_DEATHS = 2; sys.exit(keeper.main([]))",
    ]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)

    assert ended.returncode == 1
    assert ended.stderr.count("Set MODEL_SERVER_KEY") == 2


def facts():
    url = f"{client._url('/health')}"
    return httpx.get(url, headers={"x-model-server-key": KEY}).json()
