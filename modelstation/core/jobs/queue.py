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
    _send(path_of(task), argument, queue)


def path_of(task: Callable[..., object]) -> str:
    return f"{task.__module__}.{task.__qualname__}"


def send_wakeup(job: Job) -> None:
    Job.objects.filter(id=job.id).update(hinted_at=Now())
    _send(WAKE, str(job.id), job.queue)


def send_missing_wakeups(queue: str) -> int:
    """Make up for wakeups that were lost with a worker, or that woke one while nothing could run
    (a backoff, an organisation at its share). Called after each job, and by the reaper."""
    with transaction.atomic():
        missing = max(0, may_start(queue) - int(get_broker(queue).queue_size()))
        for job in claimable(queue).order_by(F("hinted_at").asc(nulls_first=True))[:missing]:
            send_wakeup(job)
    return missing


def may_start(queue: str) -> int:
    """Return how many jobs could start now, were there workers enough: of each organisation no
    more than is left of its share. Others get their wakeups as these end."""
    share = settings.ORG_JOBS_AT_ONCE[queue]
    waiting = Counter(claimable(queue).values_list("org", "running"))  # type: ignore[misc]
    return sum(min(count, share - running) for (_, running), count in waiting.items())


def _send(path: str, argument: str, queue: str) -> None:
    options = {} if queue == "default" else {"cluster": queue}
    async_task(path, argument, **options)
