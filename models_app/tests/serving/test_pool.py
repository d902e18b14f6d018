"""Which models stay loaded."""

import threading
import time
from pathlib import Path

import pytest

from models_app.serving.engine import ServingError
from models_app.serving.pool import EnginePool


class FakeEngine:
    def __init__(self, gguf, tokenizer_folder):
        self.gguf = gguf
        self.closed = False

    def close(self):
        self.closed = True


class Factory:
    def __init__(self):
        self.made = []

    def __call__(self, gguf, tokenizer_folder):
        self.made.append(FakeEngine(gguf, tokenizer_folder))
        return self.made[-1]


@pytest.fixture
def factory():
    return Factory()


def use(pool, name):
    with pool.engine(Path(name), Path("tokenizer")) as engine:
        return engine


def test_a_model_is_loaded_once(factory):
    pool = EnginePool(make=factory)

    assert use(pool, "a") is use(pool, "a")
    assert len(factory.made) == 1


def test_the_least_recently_used_model_makes_room(factory):
    pool = EnginePool(max_engines=2, make=factory)
    a, b = use(pool, "a"), use(pool, "b")
    use(pool, "a")

    use(pool, "c")

    assert (a.closed, b.closed) == (False, True)
    assert len(pool) == 2


def test_models_stay_within_a_number_of_bytes(factory, tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(100))
    pool = EnginePool(max_engines=9, max_bytes=250, make=factory)

    loaded = [use(pool, tmp_path / name) for name in "abc"]

    assert [engine.closed for engine in loaded] == [True, False, False]


def test_a_single_model_beyond_the_bytes_is_still_served(factory, tmp_path):
    (tmp_path / "big").write_bytes(bytes(100))

    assert use(EnginePool(max_bytes=10, make=factory), tmp_path / "big")


def test_a_model_in_use_is_not_closed_and_the_next_one_waits_for_it(factory):
    pool = EnginePool(max_engines=1, make=factory)
    served = []
    with pool.engine(Path("a"), Path("tokenizer")) as busy:
        waiting = threading.Thread(target=lambda: served.append(use(pool, "b")))
        waiting.start()
        waiting.join(0.1)
        assert not busy.closed
        assert not served
    waiting.join(5)

    assert busy.closed
    assert served[0].gguf == Path("b")


def test_waiting_has_an_end(factory):
    pool = EnginePool(max_engines=1, patience_s=0.05, make=factory)

    with (
        pool.engine(Path("a"), Path("tokenizer")),
        pytest.raises(ServingError, match="busy") as refused,
    ):
        use(pool, "b")
    assert (refused.value.code, refused.value.retry_after) == ("server_busy", 5)


def test_a_model_that_cannot_be_loaded_leaves_nothing(factory):
    def fail(gguf, tokenizer_folder):
        raise ServingError("damaged", code="model_unreadable")

    pool = EnginePool(make=fail)
    with pytest.raises(ServingError, match="damaged"):
        use(pool, "a")

    assert len(pool) == 0


class Gate:
    """Makes engines, each only once it is let through."""

    def __init__(self):
        self.begun = []
        self.open = threading.Event()

    def __call__(self, gguf, tokenizer_folder):
        self.begun.append(gguf.name)
        if gguf.name.startswith("slow"):
            assert self.open.wait(10)
        return FakeEngine(gguf, tokenizer_folder)


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def until(condition):
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_many_who_ask_at_once_share_one_load():
    gate = Gate()
    pool, found = EnginePool(make=gate), []
    threads = [in_thread(lambda: found.append(use(pool, "slow"))) for _ in range(8)]
    until(lambda: pool.facts() and pool.facts()[0]["users"] == 8)
    gate.open.set()
    for thread in threads:
        thread.join(10)

    assert gate.begun == ["slow"]
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_a_load_does_not_hold_up_a_model_that_is_ready():
    gate = Gate()
    pool = EnginePool(make=gate)
    ready = use(pool, "ready")
    loading = in_thread(lambda: use(pool, "slow"))
    until(lambda: "slow" in gate.begun)

    assert use(pool, "ready") is ready
    gate.open.set()
    loading.join(10)


def test_all_who_waited_for_a_load_hear_why_it_failed():
    gate = Gate()

    def fail(gguf, tokenizer_folder):
        gate(gguf, tokenizer_folder)
        raise ServingError("damaged", code="model_unreadable")

    pool, heard = EnginePool(make=fail), []

    def ask():
        try:
            use(pool, "slow")
        except ServingError as error:
            heard.append(error.message)

    threads = [in_thread(ask) for _ in range(3)]
    until(lambda: pool.facts() and pool.facts()[0]["users"] == 3)
    gate.open.set()
    for thread in threads:
        thread.join(10)

    assert heard == ["damaged"] * 3
    assert pool.facts() == []


def test_a_file_that_was_replaced_is_loaded_again(factory, tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"old")
    pool = EnginePool(make=factory)
    old = use(pool, file)
    file.write_bytes(b"newer")

    with pool.engine(file, Path("tokenizer")) as new:
        assert new is not old
        assert old.closed
        file.write_bytes(b"newest of all")
        newest = use(pool, file)
        assert newest is not new
        assert not new.closed  # it is in use
    assert new.closed
    assert len(pool) == 1


def test_engines_are_closed_outside_of_the_lock(tmp_path):
    pool = EnginePool(max_engines=1, make=FakeEngine)
    first = use(pool, "a")
    seen = []
    first.close = lambda: seen.append(in_thread(pool.facts).join(5) or pool.facts())

    use(pool, "b")

    assert len(seen) == 1


def test_thirty_models_under_a_limit_for_eight_stay_within_it(factory, tmp_path):
    for number in range(30):
        (tmp_path / str(number)).write_bytes(bytes(100))
    pool = EnginePool(max_bytes=8 * 100, make=factory)

    for number in [*range(30), *range(30)]:
        use(pool, tmp_path / str(number))
        assert pool.bytes() <= 800

    assert sum(not engine.closed for engine in factory.made) == len(pool) == 8


def test_what_loading_really_took_counts(factory, tmp_path, monkeypatch):
    held = iter([0, 500, 500, 1000])
    monkeypatch.setattr("models_app.serving.pool.resident_bytes", lambda: next(held))
    pool = EnginePool(max_bytes=800, make=factory)

    a = use(pool, "a")
    b = use(pool, "b")

    assert (a.closed, b.closed) == (True, False)
    assert pool.bytes() == 500
