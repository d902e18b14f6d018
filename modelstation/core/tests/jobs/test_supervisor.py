import os
import threading
import time
import uuid
from types import SimpleNamespace

import psutil
import pytest

from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import supervisor
from modelstation.core.jobs.interrupts import Cancelled, Crashed, Drained, Paused, RetrySmaller
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job

QUIET = """
import json, os, signal, subprocess, sys, time
def emit(**event): print(json.dumps(event), flush=True)
"""


CHECKPOINTS_WHEN_ASKED = """
asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
emit(event='progress', step=1, total_steps=2)
while not asked: time.sleep(0.01)
sys.exit(75)
"""


def free_lease():
    """One that asks no database."""
    return Lease(Job())


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a child whose code is the given lines; returns its outcome and its events."""

    def run(code, lease=None, on_event=None, **options):
        module = f"child_{uuid.uuid4().hex}"
        (tmp_path / f"{module}.py").write_text(QUIET + code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        events = []
        result = supervisor.run_child(
            module,
            "spec",
            lease=lease or free_lease(),
            on_event=on_event or events.append,
            **options,
        )
        return SimpleNamespace(result=result, events=events)

    return run


def test_events_of_a_child_arrive_and_its_result_is_returned(run):
    done = run(
        "emit(event='progress', step=1, total_steps=2)\n"
        "print('stray words')\n"
        "emit(event='result', facts=7)"
    )
    assert done.events == [{"event": "progress", "step": 1, "total_steps": 2}]
    assert done.result["facts"] == 7


def test_a_childs_own_error_keeps_its_code(run):
    with pytest.raises(UserFacingError, match="not a number") as caught:
        run(
            "emit(event='error', code='diverged', message='The loss is not a number.'); sys.exit(1)"
        )
    assert caught.value.code == "diverged"


@pytest.mark.parametrize(
    ("name", "code"), [("SIGKILL", "oom_killed"), ("SIGSEGV", "child_crashed")]
)
def test_a_child_that_dies_may_be_tried_again(run, name, code):
    with pytest.raises(Crashed) as caught:
        run(f"os.kill(os.getpid(), signal.{name})")
    assert caught.value.code == code


def test_a_child_that_the_kernel_killed_for_memory_is_not_tried_again(run, tmp_path, monkeypatch):
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free_pages 7\noom_kill 2\n")
    monkeypatch.setattr(supervisor, "VMSTAT", vmstat)
    killed = f"open({str(vmstat)!r}, 'w').write('oom_kill 3'); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(UserFacingError) as caught:
        run(killed)
    assert caught.value.code == "oom_killed"


def test_a_child_that_ends_without_a_result_is_a_failure_of_ours(run):
    with pytest.raises(RuntimeError, match="exit code 3"):
        run("sys.exit(3)")


def test_a_child_sees_no_secret(run, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hidden")
    monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", "hidden")
    monkeypatch.setenv("DATABASE_URL", os.environ.get("DATABASE_URL", "postgresql://hidden"))
    names = ("SECRET_KEY", "DATABASE_URL", "FIELD_ENCRYPTION_KEYS")
    done = run(f"emit(event='result', seen=[k for k in {names} if k in os.environ])")
    assert done.result["seen"] == []


def test_cancel_ends_the_child_and_all_it_started(run):
    lease = free_lease()
    others = set(psutil.Process().children(recursive=True))  # of earlier tests: not ours to end
    pids = []

    def cancel_soon():
        while len(pids) < 2:  # the child, and the sleep that it starts
            time.sleep(0.1)
            started = set(psutil.Process().children(recursive=True)) - others
            pids[:] = [process.pid for process in started]
        lease.cancelled = True

    thread = threading.Thread(target=cancel_soon)
    thread.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run("subprocess.Popen(['sleep', '60']); time.sleep(60)", lease)
    thread.join()
    assert time.monotonic() - started < 30
    deadline = time.monotonic() + 5  # what was killed may take a moment to be gone
    while any(_is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_is_alive(pid) for pid in pids)


@pytest.mark.parametrize(("wish", "raised"), [("paused", Paused), ("draining", Drained)])
def test_a_child_that_understands_is_asked_for_a_checkpoint(run, wish, raised):
    lease = free_lease()
    with pytest.raises(raised):
        run(CHECKPOINTS_WHEN_ASKED, lease, lambda _: setattr(lease, wish, True), can_pause=True)


def test_a_pause_that_is_withdrawn_while_the_child_stops_lets_another_go_on(run):
    lease = free_lease()
    code = CHECKPOINTS_WHEN_ASKED.replace(
        "sys.exit", "emit(event='checkpoint', step=0); time.sleep(0.5); sys.exit"
    )

    def on_event(event):
        lease.paused = event["event"] == "progress"

    with pytest.raises(Drained):
        run(code, lease, on_event, can_pause=True)


def test_a_child_that_ends_before_it_pauses_has_ended(run):
    lease = free_lease()
    code = CHECKPOINTS_WHEN_ASKED.replace("sys.exit(75)", "emit(event='result', facts=1)")
    done = run(code, lease, lambda _: setattr(lease, "paused", True), can_pause=True)
    assert done.result["facts"] == 1


def test_a_child_that_was_asked_before_it_could_listen_has_lost_nothing(run):
    lease = free_lease()
    lease.paused = True
    with pytest.raises(Paused):
        run("time.sleep(60)", lease, can_pause=True)


def test_a_child_that_does_not_heed_a_pause_is_ended_after_a_while(run, settings):
    settings.DRAIN_SECONDS = 0.5
    lease = free_lease()
    deaf = "signal.signal(signal.SIGUSR1, signal.SIG_IGN); emit(event='x'); time.sleep(60)"
    with pytest.raises(Paused):
        run(deaf, lease, lambda _: setattr(lease, "paused", True), can_pause=True)


def test_a_child_that_knows_no_checkpoints_is_ended_at_once(run):
    lease = free_lease()
    lease.draining = True
    with pytest.raises(Drained):
        run("time.sleep(60)", lease)


def test_exit_code_75_of_a_child_that_was_not_asked_is_a_failure_of_ours(run):
    with pytest.raises(RuntimeError, match="exit code 75"):
        run("sys.exit(75)", can_pause=True)


def test_a_child_that_stands_still_is_ended_although_it_writes(run, settings):
    settings.NO_PROGRESS_SECONDS = 0.5
    still = "while True: emit(event='progress', stage='train', step=3); time.sleep(0.05)"
    with pytest.raises(UserFacingError) as caught:
        run(still)
    assert caught.value.code == "no_progress"


def test_a_gpu_that_is_too_small_is_tried_smaller_where_the_caller_says_how(run):
    full = "emit(event='error', code='gpu_oom', message='Full.'); sys.exit(1)"
    with pytest.raises(RetrySmaller) as caught:
        run(full, when_gpu_oom={"micro_batch_tokens": 256})
    assert caught.value.overrides == {"micro_batch_tokens": 256}
    tried = Lease(Job(overrides=caught.value.overrides))
    for options in ({}, {"lease": tried, "when_gpu_oom": {"micro_batch_tokens": 128}}):
        with pytest.raises(UserFacingError) as caught:
            run(full, **options)
        assert caught.value.code == "gpu_oom"


def _is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
