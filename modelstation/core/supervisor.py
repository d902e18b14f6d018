"""Run Django-free work in a child process group, and turn its JSON lines into progress.

Torch lives in the child: it may be killed, run out of memory or crash without taking a worker with
it. The child gets no database password and no SECRET_KEY. Cancel is SIGTERM to the group, then
SIGKILL."""

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings

from modelstation.core.errors import UserFacingError
from modelstation.core.lease import Lease

GRACE_SECONDS = 10.0
POLL_SECONDS = 0.5
PR_SET_PDEATHSIG = 1
LIBC = (
    ctypes.CDLL(None) if sys.platform == "linux" else None
)  # loaded here: nothing is allocated after the fork
SECRETS = ("DATABASE_URL", "SECRET_KEY", "MODEL_SERVER_KEY", "EMAIL_URL", "FIELD_ENCRYPTION_KEYS")
OUT_OF_MEMORY = "The process was killed while it worked, most likely for want of memory."
OnEvent = Callable[[dict[str, Any]], None]


def run_child(module: str, spec_path: str, *, lease: Lease, on_event: OnEvent) -> dict[str, Any]:
    """Run `python -m module spec_path`; returns the facts of its result event.

    `on_event` gets every progress and log event. Raises Cancelled, LeaseLost, or UserFacingError
    with the child's own error code, `oom_killed`, or `child_crashed`."""
    child = _start([sys.executable, "-m", module, spec_path])
    try:
        last = _follow(child, lease, on_event)
        return _outcome(child.wait(), last, module)
    finally:
        _kill_group(child)


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=None,  # the worker's own log: tracebacks are for operators
        cwd=settings.BASE_DIR,
        env=_environment(),
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )


def _environment() -> dict[str, str]:
    public = {key: value for key, value in os.environ.items() if key not in SECRETS}
    return {**public, "PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error"}


def _die_with_parent() -> None:
    """Linux: the kernel ends the child when its worker dies, even by SIGKILL."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _follow(child: subprocess.Popen[bytes], lease: Lease, on_event: OnEvent) -> dict[str, Any]:
    """Read events until the child closes its pipe; returns the last result or error event."""
    assert child.stdout is not None
    last: dict[str, Any] = {}
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            lease.check()
            if not selector.select(POLL_SECONDS):
                continue
            chunk = os.read(child.stdout.fileno(), 1 << 16)
            if not chunk:
                return last
            *lines, buffer = (buffer + chunk).split(b"\n")
            for event in map(_parse, lines):
                if event.get("event") in ("result", "error"):
                    last = event
                elif event:
                    on_event(event)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _outcome(returncode: int, last: dict[str, Any], module: str) -> dict[str, Any]:
    if last.get("event") == "error":
        raise UserFacingError(last["message"], code=last.get("code", "failed"))
    if returncode == 0 and last:
        return last
    if returncode == -signal.SIGKILL:
        raise UserFacingError(
            OUT_OF_MEMORY, code="oom_killed", hint="Use fewer tokens per batch or a smaller base."
        )
    raise RuntimeError(f"{module} ended with exit code {returncode} and no result")


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started; a no-op for a child that has ended with all its
    group.
    """
    if child.stdout:
        child.stdout.close()
    if _signal_group(child, signal.SIGTERM):
        deadline = time.monotonic() + GRACE_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    _signal_group(child, signal.SIGKILL)
    child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: int) -> bool:
    try:
        os.killpg(child.pid, number)  # start_new_session: the group id is the child's pid
    except ProcessLookupError:
        return False
    return True
