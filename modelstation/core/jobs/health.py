"""What the operator and the pages must know before a user waits in vain: workers and disk."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now

from modelstation.core.jobs.queue import QUEUES
from modelstation.core.models import QueueHealth

# Canaries are sent every half minute, and answered by workers without a job that beats.
WORKER_SILENT_AFTER = timedelta(seconds=90)
FREE_DISK_BYTES = 2 << 30


@dataclass(frozen=True)
class Problem:
    code: str
    message: str


def problems(queues: Iterable[str] = QUEUES) -> list[Problem]:
    """Return what keeps work on these queues from being done."""
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.VAR_DIR).free
    if free >= FREE_DISK_BYTES:
        return silent(queues)
    text = f"Only {free >> 20} MB of disk are free; a run needs {FREE_DISK_BYTES >> 20} MB."
    return [*silent(queues), Problem("disk_full", f"{text} Free some, then try again.")]


def queues_alive_within(age: timedelta) -> set[str]:
    """Queues on which a canary ran, or a job's heartbeat was written, so lately."""
    alive = QueueHealth.objects.filter(seen_at__gt=Now() - age)
    return set(alive.values_list("queue", flat=True))


def silent(queues: Iterable[str]) -> list[Problem]:
    alive = queues_alive_within(WORKER_SILENT_AFTER)
    return [
        Problem(
            f"no_worker_{queue}",
            f"No worker is running for the “{queue}” queue: its work waits. Start one with "
            f"“make up”, or with python manage.py run_worker {queue}.",
        )
        for queue in queues
        if queue not in alive
    ]
