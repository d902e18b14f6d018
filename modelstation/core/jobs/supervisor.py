"""Run Django-free work in a child process group, and turn its JSON lines into progress.

Torch lives in the child: it may be killed, run out of memory or crash without taking a worker with
it. The child gets no database password and no SECRET_KEY. Cancel is SIGTERM to the group, then
SIGKILL. Pause, and a worker that shuts down, are SIGUSR1 to a child that understands it: it writes
a checkpoint and exits with 75."""

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from django.conf import settings

from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.interrupts import Crashed, Drained, Paused, RetrySmaller
from modelstation.core.jobs.lease import Lease

GRACE_SECONDS = 5.0
POLL_SECONDS = 0.5
CHECKPOINTED = 75  # EX_TEMPFAIL: the child's exit code after SIGUSR1
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
# Loaded here: nothing is allocated after the fork.
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
SECRETS = (
    "DATABASE_URL", "SECRET_KEY", "MODEL_SERVER_KEY", "EMAIL_URL", "FIELD_ENCRYPTION_KEYS",
    "EXPORT_SIGNING_KEY",
)  # fmt: skip
OUT_OF_MEMORY = "The process was killed while it worked, most likely because memory ran out."
SMALLER = "Use a smaller micro_batch_tokens or a smaller base."
CRASHED = "The process that did the work crashed each time it was tried."
NO_PROGRESS = "The work stood still for {minutes:.0f} minutes and was ended."
VMSTAT = Path("/proc/vmstat")
OnEvent = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class ChildEvent:
    """A line of a child: what the supervisor reads of it, and all that it holds."""

    kind: str = ""  # "" for a line that is no event
    stage: str = ""
    step: int = 0
    code: str = "failed"
    message: str = ""
    content: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        try:
            content = json.loads(line)
        except ValueError:
            return cls()
        if not isinstance(content, dict):
            return cls()
        kept = {key: content[key] for key in ("stage", "step", "code", "message") if key in content}
        return cls(kind=str(content.get("event", "")), content=content, **kept)


def run_child(
    module: str,
    spec_path: str,
    *,
    lease: Lease,
    on_event: OnEvent,
    can_pause: bool = False,
    when_gpu_oom: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Run `python -m module spec_path`; returns the facts of its result event.

    `on_event` gets every progress, checkpoint and log event. `can_pause`: the child understands
    SIGUSR1. `when_gpu_oom`: the overrides to try once more with. Raises what `lease.check` raises;
    UserFacingError with the child's own error code, `oom_killed` or `no_progress`; Crashed;
    RetrySmaller."""
    killed_before = _killed_by_kernel()
    child = _start([sys.executable, "-m", module, spec_path])
    watch = _Watch(child, lease, can_pause)
    lease.child_pauses = can_pause
    try:
        last = _follow(watch, on_event)
        returncode = child.wait()
    finally:
        lease.child_pauses = False
        _kill_group(child)
    if watch.requested_at and returncode in (CHECKPOINTED, -signal.SIGUSR1):
        lease.check()
        raise Drained  # the request to pause was withdrawn meanwhile
    if last.code == "gpu_oom" and when_gpu_oom and not lease.job.overrides:
        raise RetrySmaller(when_gpu_oom, last.message)
    if returncode == -signal.SIGKILL and _killed_by_kernel() > killed_before:
        raise UserFacingError(OUT_OF_MEMORY, code="oom_killed", hint=SMALLER)
    if last.kind == "error":
        raise UserFacingError(last.message, code=last.code)
    if returncode == 0 and last.kind:
        return last.content
    if returncode == -signal.SIGKILL:
        raise Crashed("oom_killed", f"{OUT_OF_MEMORY} {SMALLER}")
    if returncode < 0:
        raise Crashed("child_crashed", CRASHED)
    raise RuntimeError(f"{module} ended with exit code {returncode} and no result")


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Linux: the kernel signals this process when its parent dies, even by SIGKILL."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, number)


def name_process(name: str) -> None:
    """Linux: what ps and top show."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_NAME, name.encode())


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    public = {key: value for key, value in os.environ.items() if key not in SECRETS}
    return subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=None,  # the worker's own log: tracebacks are for operators
        cwd=settings.BASE_DIR,
        env={**public, "PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error"},
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


class _Watch:
    """What may end a child early: the lease, a request to pause, or standing still."""

    def __init__(self, child: subprocess.Popen[bytes], lease: Lease, can_pause: bool) -> None:
        self.child, self.lease, self.can_pause = child, lease, can_pause
        self.requested_at = 0.0
        self._moved_at = time.monotonic()
        self._place = ("", "", 0)

    def look(self) -> None:
        self.lease.check()
        if self.can_pause:
            self._request_pause()
        if time.monotonic() - self._moved_at > settings.NO_PROGRESS_SECONDS:
            text = NO_PROGRESS.format(minutes=settings.NO_PROGRESS_SECONDS / 60)
            raise UserFacingError(text, code="no_progress")

    def saw(self, event: ChildEvent) -> None:
        """Progress is another place, not another line: a hung child may still write."""
        place = (event.kind, event.stage, event.step)
        if place != self._place:
            self._place, self._moved_at = place, time.monotonic()
        if event.kind == "checkpoint":
            self.lease.checkpointed(event.step)

    def _request_pause(self) -> None:
        try:
            self.lease.check_pause()
        except (Paused, Drained):
            if not self.requested_at:
                self.requested_at = time.monotonic()
                _signal_group(self.child, signal.SIGUSR1)  # one of several processes may train
            elif time.monotonic() - self.requested_at > settings.DRAIN_SECONDS:
                raise


def _follow(watch: _Watch, on_event: OnEvent) -> ChildEvent:
    """Read events until the child closes its pipe; returns the last result or error event."""
    stdout = watch.child.stdout
    assert stdout is not None
    last = ChildEvent()
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            watch.look()
            if not selector.select(POLL_SECONDS):
                continue
            chunk = os.read(stdout.fileno(), 1 << 16)
            if not chunk:
                return last
            *lines, buffer = (buffer + chunk).split(b"\n")
            for event in map(ChildEvent.from_json, lines):
                if event.kind in ("result", "error"):
                    last = event
                elif event.content:
                    watch.saw(event)
                    on_event(event.content)


def _killed_by_kernel() -> int:
    """Return how often the kernel has killed because memory ran out; 0 where it does not say."""
    try:
        lines = VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started; a no-op where its whole group has ended."""
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
