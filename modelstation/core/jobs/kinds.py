"""The kinds of jobs. The table is handed in at start-up: this floor knows no room above it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.utils.module_loading import import_string

from modelstation.core.models import Job


@dataclass(frozen=True)
class Kind:
    task: str  # a dotted path: only a worker imports what the work needs
    queue: str
    # Called in the ending transaction of a job that ended without success.
    settle: Callable[[Job], None]


KINDS: dict[str, Kind] = {}


def install(kinds: Mapping[str, Kind]) -> None:
    KINDS.update(kinds)


def run_task(kind: str, job: Job | str) -> None:
    """Run a job that the caller claimed, or one that its task claims, by its id."""
    import_string(KINDS[kind].task)(job)
