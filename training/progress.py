"""What a child process says to its supervisor: one JSON object per line on the standard output it
was given.

python -m pytest training/tests/runs/test_child.py
"""

import errno
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NoReturn, TextIO

from modelstation.core.errors import DISK_FULL

SECONDS_BETWEEN_LINES = 1.0
TERMINATED = 128 + signal.SIGTERM
STOPPED = 75  # EX_TEMPFAIL: the work is saved, and goes on when the child is started again


class ChildError(Exception):
    """A failure with a code for the job and a sentence for the user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Stopped(Exception):
    """The supervisor wished the child to end for now, and the work is saved."""


class Channel:
    """The supervisor's end of the pipe, and when something was last said about each stage."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.stage = ""
        self.said_at = -math.inf
        self.stop_wished = False

    def emit(self, event: dict[str, Any]) -> None:
        self.stream.write(json.dumps(_without_nan(event)) + "\n")
        self.stream.flush()

    def progress(self, stage: str, *, step: int, total_steps: int, **facts: Any) -> None:
        """At most a line a second, but every stage's first and last step and each validation is
        said.
        """
        now = time.monotonic()
        due = now - self.said_at >= SECONDS_BETWEEN_LINES
        if due or stage != self.stage or step >= total_steps or "valid_loss" in facts:
            self.stage, self.said_at = stage, now
            self.emit(
                {
                    "event": "progress",
                    "stage": stage,
                    "step": step,
                    "total_steps": total_steps,
                    **facts,
                }
            )


def run_as_child(work: Callable[[Channel], dict[str, Any]]) -> NoReturn:
    """Runs `work` and ends the process: 0 with a result line, 1 with an error line, 143 after a
    SIGTERM, 75 when the work was saved after a SIGUSR1, which sets the channel's `stop_wished`.

    Anything else that prints, libraries in C included, is sent to standard error.
    """
    others = os.environ.get("RANK", "0") != "0"  # of several processes the first one speaks
    pipe = os.open(os.devnull, os.O_WRONLY) if others else os.dup(1)
    channel = Channel(os.fdopen(pipe, "w", encoding="utf-8"))
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGUSR1, lambda *_: setattr(channel, "stop_wished", True))
    try:
        channel.emit({"event": "result", **work(channel)})
    except ChildError as error:
        channel.emit({"event": "error", "code": error.code, "message": error.message})
        sys.exit(1)
    except Stopped:
        sys.exit(STOPPED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        channel.emit({"event": "error", "code": "disk_full", "message": DISK_FULL})
        sys.exit(1)
    sys.exit(0)


def read_spec(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            spec = json.load(stream)
    except (OSError, ValueError) as error:
        raise ChildError("bad_spec", f"The run's specification cannot be read: {error}") from error
    if not isinstance(spec, dict):
        raise ChildError("bad_spec", "The run's specification must be a JSON object.")
    return spec


def required(spec: Mapping[str, Any], *names: str) -> None:
    if missing := [name for name in names if not spec.get(name)]:
        raise ChildError("bad_spec", f"The run's specification lacks: {', '.join(missing)}.")


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)  # as an exception, so that temporary folders are cleaned up on the way out


def _without_nan(value: Any) -> Any:
    """NaN is not JSON: what reads the line would refuse all of it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list) else value
