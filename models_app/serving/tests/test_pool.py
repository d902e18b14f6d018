"""Which models stay loaded."""

import threading
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
    assert refused.value.code == "model_server_unavailable"


def test_a_model_that_cannot_be_loaded_leaves_nothing(factory):
    def fail(gguf, tokenizer_folder):
        raise ServingError("damaged", code="model_unreadable")

    pool = EnginePool(make=fail)
    with pytest.raises(ServingError, match="damaged"):
        use(pool, "a")

    assert len(pool) == 0


def test_requests_that_meet_load_a_model_once(factory):
    started, go_on = threading.Event(), threading.Event()

    def slow(gguf, folder):
        started.set()
        assert go_on.wait(5)
        return factory(gguf, folder)

    pool, served = EnginePool(make=slow), []
    threads = [threading.Thread(target=lambda: served.append(use(pool, "a"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert started.wait(5)
    go_on.set()
    for thread in threads:
        thread.join(5)

    assert len(factory.made) == 1
    assert served == factory.made * 4


def test_a_model_that_is_being_loaded_does_not_hold_up_the_others(factory):
    loading, go_on = threading.Event(), threading.Event()

    def make(gguf, folder):
        if gguf.name == "slow":
            loading.set()
            assert go_on.wait(5)
        return factory(gguf, folder)

    pool = EnginePool(make=make)
    use(pool, "quick")
    thread = threading.Thread(target=use, args=(pool, "slow"))
    thread.start()
    assert loading.wait(5)

    assert use(pool, "quick")

    go_on.set()
    thread.join(5)
    assert len(pool) == 2


def test_who_waited_for_a_load_that_failed_tries_again(factory):
    def fails_once(gguf, folder):
        if not tried:
            tried.append(gguf)
            raise ServingError("damaged", code="model_unreadable")
        return factory(gguf, folder)

    tried = []
    pool = EnginePool(make=fails_once)
    with pytest.raises(ServingError, match="damaged"):
        use(pool, "a")

    assert use(pool, "a") is factory.made[0]


def test_a_file_that_was_replaced_is_loaded_anew(factory, tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"old")
    pool = EnginePool(make=factory)
    old = use(pool, file)
    file.write_bytes(b"a newer one")

    assert use(pool, file) is not old
    assert old.closed
    assert len(pool) == 1


def test_thirty_models_take_turns_in_a_place_for_eight(factory, tmp_path):
    for number in range(30):
        (tmp_path / str(number)).write_bytes(bytes(100))
    pool = EnginePool(max_engines=99, max_bytes=800, make=factory)

    for _ in range(3):
        for number in range(30):
            use(pool, tmp_path / str(number))
            assert pool.facts()["bytes"] <= 800

    assert sum(not engine.closed for engine in factory.made) == len(pool) == 8


def test_what_a_model_really_takes_counts(factory, monkeypatch):
    resident = iter([0, 300, 300, 600])  # before and after each of two loads
    monkeypatch.setattr("models_app.serving.pool._resident", lambda: next(resident))
    pool = EnginePool(max_bytes=500, make=factory)
    first = use(pool, "a")

    use(pool, "b")

    assert first.closed
    assert pool.facts()["bytes"] == 300
