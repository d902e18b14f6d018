"""Adapters in vLLM: loaded once, each for itself, unloaded only when nobody uses them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models_app.serving.errors import ServingError
from models_app.serving.vllm.adapters import Adapters
from models_app.serving.vllm.engine import Vllm
from models_app.tests.serving.vllm.stand_in import KEY, adapter

PATIENCE_S = 20


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


def test_an_adapter_that_is_answering_is_not_unloaded(ask, stream, stand_in, vllm):
    streams = [stream(adapter(name), "org") for name in "ab"]
    for each in streams:
        next(each)
    with pytest.raises(ServingError, match="busy") as busy:
        ask(adapter("c"), "org")
    list(streams[0])

    assert (busy.value.code, busy.value.retry_after) == ("server_busy", 5)
    assert ask(adapter("c"), "org").text == "ab"
    assert stand_in.unloaded == [vllm.adapter_name(adapter("a"))]
    list(streams[1])


def test_a_slow_load_delays_neither_another_organisation_nor_the_base(ask, stand_in):
    slow = adapter("slow")
    gate = stand_in.gates[str(slow.folder)] = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask, slow, "org")
        wait_until(lambda: stand_in.loads)

        assert ask(adapter("quick", "another"), "another").text == "ab"
        assert ask().text == "ab"
        assert not waiting.done()
        gate.set()
        assert waiting.result(PATIENCE_S).text == "ab"


def test_requests_that_meet_load_their_adapter_once(ask, stand_in):
    gate = stand_in.gates[str(adapter().folder)] = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(ask, adapter(), "org") for _ in range(4)]
        wait_until(lambda: stand_in.loads)
        gate.set()
        assert {answer.result(PATIENCE_S).text for answer in answers} == {"ab"}

    assert len(stand_in.loads) == 1


def test_an_adapter_forgotten_by_a_restart_is_loaded_again(ask, stream, stand_in):
    ask(adapter(), "org")
    stand_in.restart()
    assert ask(adapter(), "org").text == "ab"

    stand_in.restart()
    *_, last = stream(adapter(), "org")
    assert last.text == "ab"
    assert len(stand_in.loads) == 3


def test_an_adapter_is_never_loaded_on_another_base(ask, stand_in):
    stand_in.restart(base="same-shape")
    with pytest.raises(ServingError, match="does not serve this base") as before:
        ask(adapter(), "org")
    assert stand_in.loads == []

    stand_in.restart()
    ask(adapter(), "org")
    stand_in.restart(base="same-shape")
    with pytest.raises(ServingError, match="does not serve this base") as after:
        ask(adapter(), "org")

    assert before.value.code == after.value.code == "model_file_missing"
    assert len(stand_in.loads) == 1


def test_an_adapter_that_stays_lost_is_not_loaded_for_ever(ask, stand_in):
    stand_in.fails_with = (404, "The model does not exist.")
    with pytest.raises(ServingError, match="not loaded") as lost:
        ask(adapter(), "org")

    assert lost.value.code == "model_file_missing"
    assert (len(stand_in.loads), len(stand_in.asked)) == (2, 2)


def test_one_loaded_by_another_process_is_taken_as_it_is(ask, stand_in, vllm):
    stand_in.adapters = {vllm.adapter_name(adapter()): "/artifacts/v/adapter"}

    assert ask(adapter(), "org").text == "ab"


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "LoRA rank 128 is greater than max_lora_rank 64.", "model_unreadable"),
        (401, "no", "invalid_key"),
        (404, "Loading lora x failed: No adapter found for /artifacts/v", "model_file_missing"),
        (429, "no", "server_busy"),
        (500, "LoRA rank 128 is greater than max_lora_rank 64.", "model_unreadable"),
        (503, "no", "model_server_unavailable"),
    ],
)
def test_why_an_adapter_is_not_loaded_is_told_without_paths(
    ask, stand_in, caplog, status, message, code
):
    stand_in.fails_to_load = (status, message)
    with pytest.raises(ServingError) as refused:
        ask(adapter(), "org")

    assert refused.value.code == code
    assert "/artifacts" not in refused.value.message
    assert message in caplog.text
    stand_in.fails_to_load = None
    assert ask(adapter(), "org").text == "ab"


def test_one_that_vllm_dropped_by_itself_still_makes_room(ask, stand_in):
    for version in "ab":
        ask(adapter(version), "org")
    stand_in.fails_to_unload = (500, "Failed to remove lora adapter 'x' from the engine.")

    assert ask(adapter("c"), "org").text == "ab"


def test_one_that_could_not_be_unloaded_keeps_its_place(ask, stand_in, vllm):
    for version in "ab":
        ask(adapter(version), "org")
    stand_in.fails_to_unload = (503, "no")
    with pytest.raises(ServingError):
        ask(adapter("c"), "org")
    stand_in.fails_to_unload = None

    assert ask(adapter("c"), "org").text == "ab"
    assert stand_in.unloaded == [vllm.adapter_name(adapter("a"))]


def test_who_asks_for_one_that_is_leaving_waits_and_has_it_loaded_anew():
    deeds, leaving, may_leave = [], threading.Event(), threading.Event()

    def unload(name):
        leaving.set()
        may_leave.wait(PATIENCE_S)
        deeds.append(f"-{name}")

    adapters = Adapters(1, load=lambda name, _: deeds.append(f"+{name}"), unload=unload)

    def hold(name):
        with adapters.held(name, Path(name)):
            return name

    hold("a")
    with ThreadPoolExecutor(2) as threads:
        second = threads.submit(hold, "b")
        leaving.wait(PATIENCE_S)
        again = threads.submit(hold, "a")
        may_leave.set()
        # "a" may find "b" still in use, and is then told so.
        assert second.result(PATIENCE_S) == "b"
        again.exception(PATIENCE_S)
    hold("a")

    assert deeds[:3] == ["+a", "-a", "+b"]
    assert deeds[-1] == "+a"


def test_of_many_that_find_it_lost_one_loads_it_again():
    loads = []
    adapters = Adapters(1, load=lambda name, _: loads.append(name), unload=loads.remove)
    with adapters.held("a", Path()) as first, adapters.held("a", Path()) as second:
        first()
        second()

    assert loads == ["a", "a"]


def test_never_more_than_the_most_however_many_ask_at_once():
    held, worst, lock = set(), [], threading.Lock()

    def load(name, folder):
        with lock:
            held.add(name)
            worst.append(len(held))

    def unload(name):
        with lock:
            held.remove(name)

    adapters = Adapters(3, load=load, unload=unload)

    def use(number):
        try:
            with adapters.held(name := str(number * 7 % 11), Path()), lock:
                return name in held
        except ServingError as busy:
            return busy.code == "server_busy"

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(400)))

    assert max(worst) == 3
    assert len(held) == 3


def wait_until(is_so):
    met = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if is_so():
            return
        met.wait(0.01)
    raise AssertionError("it never came to be")
