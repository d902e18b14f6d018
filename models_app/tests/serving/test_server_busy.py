"""The server under load: full queues, callers who leave, deadlines; engines that wait for us."""

import json
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from models_app.serving import client
from models_app.serving.admission import Limits
from models_app.serving.engine import Cancelled, Completion, GenerationConfig, Piece
from models_app.serving.pool import EnginePool
from models_app.serving.server import Settings, build_app
from modelstation.core.errors import UserFacingError

KEY = "a key of the tests"
HEADERS = {"x-model-server-key": KEY}
HELLO = [{"role": "user", "content": "Please answer."}]


class HeldEngine:
    """Answers one token after the other for as long as it is not released."""

    released = threading.Event()
    running = 0
    stopped = 0
    _lock = threading.Lock()

    def __init__(self, gguf, tokenizer_folder):
        pass

    def run(self, messages, config, on_piece):
        with self._lock:
            HeldEngine.running += 1
        try:
            while not self.released.wait(0.005):
                if on_piece(Piece("x")):
                    HeldEngine.stopped += 1
                    raise Cancelled
            return Completion("x", 1, 1, "stop")
        finally:
            with self._lock:
                HeldEngine.running -= 1

    def close(self):
        pass


@pytest.fixture(autouse=True)
def held():
    HeldEngine.released = threading.Event()
    HeldEngine.running = HeldEngine.stopped = 0
    yield HeldEngine
    HeldEngine.released.set()


@contextmanager
def serving(root, **changes):
    app = build_app(
        key=KEY, roots=[root], pool=EnginePool(make=HeldEngine), settings=Settings(**changes)
    )
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        HeldEngine.released.set()
        server.should_exit = True
        thread.join()
        app.state.scheduler.close()


def until(condition):
    give_up = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def body(exported, **changes):
    paths = {"gguf": str(exported / "model.gguf"), "tokenizer_folder": str(exported)}
    return paths | {"messages": HELLO} | changes


def queue_of(address):
    return httpx.get(f"{address}/metrics", headers=HEADERS).json()["queue"]


def in_background(address, asked):
    found = []

    def ask():
        found.append(httpx.post(f"{address}/generate", json=asked, headers=HEADERS, timeout=30))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, found


def test_a_full_queue_is_a_429_with_retry_after(exported, settings):
    with serving(exported, limits=Limits(model_slots=1, total_queue=1)) as address:
        settings.MODEL_SERVER_URL, settings.MODEL_SERVER_KEY = address, KEY
        threads = [in_background(address, body(exported, owner=name))[0] for name in "ab"]
        until(lambda: queue_of(address)["waiting"] == 1)

        for stream in (False, True):
            refused = httpx.post(
                f"{address}/generate", json=body(exported, stream=stream), headers=HEADERS
            )
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
        with pytest.raises(UserFacingError, match="Try again in") as busy:
            client.generate(exported / "model.gguf", exported, HELLO, owner="c")
        assert (busy.value.code, busy.value.retry_after >= 1) == ("server_busy", True)
        HeldEngine.released.set()
        for thread in threads:
            thread.join(10)


def test_one_owner_with_too_many_is_told_so_while_others_still_get_in(exported):
    with serving(exported, limits=Limits(model_slots=1, owner_queue=1)) as address:
        asked = [in_background(address, body(exported, owner="greedy")) for _ in range(2)]
        until(lambda: queue_of(address)["waiting"] == 1)
        refused = httpx.post(
            f"{address}/generate", json=body(exported, owner="greedy"), headers=HEADERS
        )
        asked.append(in_background(address, body(exported, owner="modest")))
        until(lambda: queue_of(address)["waiting"] == 2)
        HeldEngine.released.set()
        for thread, _ in asked:
            thread.join(10)

    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert [found[0].status_code for _, found in asked] == [200, 200, 200]


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_who_leaves_frees_the_slot_at_the_next_token(exported, stream):
    with serving(exported, limits=Limits(model_slots=1)) as address:
        leave_early(address, body(exported, stream=stream), lambda: HeldEngine.running == 1)

        until(lambda: HeldEngine.running == 0)
        until(lambda: queue_of(address)["active"] == 0)
        assert HeldEngine.stopped == 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_who_leaves_while_waiting_leaves_the_queue(exported, stream):
    with serving(exported, limits=Limits(model_slots=1)) as address:
        thread, _ = in_background(address, body(exported))
        until(lambda: HeldEngine.running == 1)
        leave_early(
            address, body(exported, stream=stream), lambda: queue_of(address)["waiting"] == 1
        )

        until(lambda: queue_of(address)["waiting"] == 0)
        HeldEngine.released.set()
        thread.join(10)


def leave_early(address, asked, when):
    """Sends the request, and hangs up as soon as `when` is true."""
    import socket

    host, port = address.removeprefix("http://").split(":")
    content = json.dumps(asked).encode()
    head = (
        f"POST /generate HTTP/1.1\r\nHost: {host}\r\nx-model-server-key: {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + content)
        until(when)


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_has_a_deadline(exported, stream):
    with serving(exported, deadline_s=0.2) as address:
        reply = httpx.post(
            f"{address}/generate", json=body(exported, stream=stream), headers=HEADERS
        )
        until(lambda: HeldEngine.running == 0)

    last = json.loads(reply.text.splitlines()[-1])
    assert reply.status_code == (200 if stream else 504)
    assert last["error"]["code"] == "deadline_exceeded"


def test_waiting_for_a_slot_has_a_deadline(exported):
    with serving(exported, limits=Limits(model_slots=1)) as address:
        thread, _ = in_background(address, body(exported))
        until(lambda: HeldEngine.running == 1)
        refused = httpx.post(
            f"{address}/generate", json=body(exported, deadline_s=0.1), headers=HEADERS
        )
        HeldEngine.released.set()
        thread.join(10)

    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "server_busy"


def test_a_prompt_too_long_is_refused_though_no_slot_is_free(exported, settings):
    with serving(exported, n_ctx=64, limits=Limits(model_slots=1, total_queue=0)) as address:
        settings.MODEL_SERVER_URL, settings.MODEL_SERVER_KEY = address, KEY
        thread, _ = in_background(address, body(exported))
        until(lambda: HeldEngine.running == 1)
        long = [{"role": "user", "content": "message " * 500}]
        with pytest.raises(UserFacingError, match="takes fewer than 64") as refused:
            client.generate(exported / "model.gguf", exported, long)
        HeldEngine.released.set()
        thread.join(10)

    assert refused.value.code == "context_length_exceeded"


def test_a_body_beyond_the_limit_is_a_413(exported):
    with serving(exported, max_body_bytes=10_000) as address:
        large = json.dumps(body(exported, messages="x" * 20_000)).encode()
        told = httpx.post(f"{address}/generate", content=large, headers=HEADERS)
        pieces = (large[at : at + 1000] for at in range(0, len(large), 1000))
        untold = httpx.post(f"{address}/generate", content=pieces, headers=HEADERS)

    for refused in (told, untold):
        assert refused.status_code == 413
        assert refused.json()["error"]["code"] == "too_large"


def test_health_is_told_while_every_slot_is_taken(exported):
    """Waiting requests hold no thread that others need."""
    with serving(exported, limits=Limits(model_slots=2, total_slots=2)) as address:
        threads = [in_background(address, body(exported, owner=str(n)))[0] for n in range(60)]
        until(lambda: queue_of(address)["waiting"] == 58)
        told = httpx.get(f"{address}/health", headers=HEADERS).json()
        HeldEngine.released.set()
        for thread in threads:
            thread.join(10)

    assert told["engines"] == 1
    assert told["models"][0]["users"] == 2
    assert told["queue"]["active"] == 2


def test_the_configuration_travels_whole(exported, settings):
    asked = GenerationConfig(
        stop=("a",),
        logit_bias={3: 1.5},
        json_schema={"type": "object"},
        top_logprobs=2,
        presence_penalty=1,
    )
    seen = []

    class Listening(HeldEngine):
        def run(self, messages, config, on_piece):
            seen.append(config)
            return Completion("x", 1, 1, "stop", cached_tokens=1)

    original, globals()["HeldEngine"] = HeldEngine, Listening
    try:
        with serving(exported) as address:
            settings.MODEL_SERVER_URL, settings.MODEL_SERVER_KEY = address, KEY
            answer = client.generate(exported / "model.gguf", exported, HELLO, asked)
    finally:
        globals()["HeldEngine"] = original

    assert seen == [asked]
    assert answer.cached_tokens == 1
