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
    assert (refused.value.code, refused.value.retry_after) == ("server_busy", 5)


def test_a_model_that_cannot_be_loaded_leaves_nothing(factory):
    def fail(gguf, tokenizer_folder):
        raise ServingError("damaged", code="model_unreadable")

    pool = EnginePool(make=fail)
    with pytest.raises(ServingError, match="damaged"):
        use(pool, "a")

    assert len(pool) == 0
