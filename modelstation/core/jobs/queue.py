"""Messages to workers, each sent in the caller's transaction: committed, or rolled back, with it.

A wakeup names a job, but the worker that it wakes takes the job whose turn it is; so a queue needs
as many wakeups as jobs that may start, and it is no matter which."""

from collections import Counter
from collections.abc import Callable

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django_q.brokers import get_broker
from django_q.tasks import async_task

from modelstation.core.jobs.claims import claimable
from modelstation.core.models import Job

QUEUES = ("default", "distil", "gpu")
WAKE = "modelstation.core.jobs.tasks.wake"  # a string, because that module imports this one


def enqueue(task: Callable[[str], object], argument: str, *, queue: str = "default") -> None:
    """Send the name of a task and an id: messages are pickled, and nothing else travels."""
    async_task(path_of(task), argument, **_cluster(queue))


def path_of(task: Callable[..., object]) -> str:
    return f"{task.__module__}.{task.__qualname__}"


def send_wakeup(job: Job) -> None:
    Job.objects.filter(id=job.id).update(hinted_at=Now())
    async_task(WAKE, str(job.id), **_cluster(job.queue))


def send_missing_wakeups(queue: str) -> int:
    """Make up for wakeups that were lost with a worker, or that woke one while nothing could run
    (a backoff, an organisation at its share). Called after each job, and by the reaper."""
    with transaction.atomic():
        # Of each organisation no more than is left of its share: others get theirs as these end.
        share = settings.ORG_JOBS_AT_ONCE[queue]
        waiting = Counter(claimable(queue).values_list("org", "running"))  # type: ignore[misc]
        may_start = sum(min(count, share - running) for (_, running), count in waiting.items())
        missing = max(0, int(may_start) - int(get_broker(queue).queue_size()))
        for job in claimable(queue).order_by(F("hinted_at").asc(nulls_first=True))[:missing]:
            send_wakeup(job)
    return missing


def _cluster(queue: str) -> dict[str, str]:
    return {} if queue == "default" else {"cluster": queue}
