"""What a child process reports to its supervisor: one JSON object per line on the standard output
it was given.
"""

import errno
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn, TextIO, TypeVar

from pydantic import TypeAdapter

from models_app.serving.errors import ServingError
from modelstation.core.errors import DISK_FULL

SECONDS_BETWEEN_LINES = 1.0
TERMINATED = 128 + signal.SIGTERM
STOPPED = 75  # EX_TEMPFAIL: the work is saved, and goes on when the child is started again

T = TypeVar("T")
Figures = dict[str, float | None]
Event = dict[str, str | float | None]
PLACE = ("event", "stage", "step", "total_steps")


class ChildError(Exception):
    """A failure with a code for the job and a sentence for the user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Stopped(Exception):
    """The supervisor asked the child to end for now, and the work is saved."""


@dataclass(frozen=True)
class Log:
    message: str

    def to_json(self) -> Event:
        return {"event": "log", "message": self.message}


@dataclass(frozen=True)
class Checkpoint:
    step: int

    def to_json(self) -> Event:
        return {"event": "checkpoint", "step": self.step}


@dataclass(frozen=True)
class Progress:
    stage: str
    step: int
    total_steps: int
    figures: Figures = field(default_factory=dict)

    @property
    def detail(self) -> Figures:
        """Return the figures as a job keeps them, without the stage."""
        return {"step": self.step, "total_steps": self.total_steps, **self.figures}

    def to_json(self) -> Event:
        return {"event": "progress", "stage": self.stage, **self.detail}


Message = Log | Checkpoint | Progress


def message_from(event: Mapping[str, Any]) -> Message:
    """Return the message of a line that a Channel has written; what it does not know is a log."""
    if event["event"] == "checkpoint":
        return Checkpoint(event["step"])
    if event["event"] == "progress":
        figures = {name: value for name, value in event.items() if name not in PLACE}
        return Progress(event["stage"], event["step"], event["total_steps"], figures)
    return Log(event["message"])


class Channel:
    """The supervisor's end of the pipe, and when something was last emitted of each stage."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.stage = ""
        self.emitted_at = -math.inf
        self.stop_requested = False

    def emit(self, message: Message) -> None:
        """Write a message; of progress at most a line a second, but every stage's first and last
        step and each validation.
        """
        if not isinstance(message, Progress) or self._is_due(message):
            self.write(message.to_json())

    def log(self, message: str) -> None:
        self.emit(Log(message))

    def progress(self, stage: str, *, step: int, total_steps: int, **figures: float | None) -> None:
        self.emit(Progress(stage, step, total_steps, figures))

    def write(self, event: Mapping[str, Any]) -> None:
        self.stream.write(json.dumps(_without_nan(event)) + "\n")
        self.stream.flush()

    def _is_due(self, message: Progress) -> bool:
        now = time.monotonic()
        due = now - self.emitted_at >= SECONDS_BETWEEN_LINES or message.stage != self.stage
        if due or message.step >= message.total_steps or "valid_loss" in message.figures:
            self.stage, self.emitted_at = message.stage, now
            return True
        return False


def run_as_child(work: Callable[[Channel], Mapping[str, Any]]) -> NoReturn:
    """Run `work` and end the process: 0 with a result line, 1 with an error line, 143 after a
    SIGTERM, 75 when the work was saved after a SIGUSR1, which sets the channel's `stop_requested`.

    Anything else that prints, libraries in C included, is sent to standard error.
    """
    others = os.environ.get("RANK", "0") != "0"  # of several processes the first one speaks
    pipe = os.open(os.devnull, os.O_WRONLY) if others else os.dup(1)
    channel = Channel(os.fdopen(pipe, "w", encoding="utf-8"))
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGUSR1, lambda *_: setattr(channel, "stop_requested", True))
    try:
        channel.write({"event": "result", **work(channel)})
    except (ChildError, ServingError) as error:
        channel.write({"event": "error", "code": error.code, "message": error.message})
        sys.exit(1)
    except Stopped:
        sys.exit(STOPPED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        channel.write({"event": "error", "code": "disk_full", "message": DISK_FULL})
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


def spec_from(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return the dataclass of a specification; ChildError says what is missing or no such value."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValueError as error:
        raise ChildError("bad_spec", f"The run's specification is wrong: {error}") from error


def required(spec: Mapping[str, Any], *names: str) -> None:
    if missing := [name for name in names if not spec.get(name)]:
        raise ChildError("bad_spec", f"The run's specification lacks: {', '.join(missing)}.")


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)  # as an exception, so that temporary folders are cleaned up on the way out


def _without_nan(value: Any) -> Any:
    """NaN is not JSON: what reads the line would refuse all of it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list) else value
