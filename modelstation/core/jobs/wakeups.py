"""Hints: messages that wake a worker. A hint names a job, but whoever it wakes takes the job whose
turn it is; so a queue needs as many hints as jobs that may start, and it is no matter which."""

from collections import Counter

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django_q.brokers import get_broker

from modelstation.core.jobs.claims import claimable
from modelstation.core.jobs.queue import enqueue
from modelstation.core.models import Job

WAKE = "modelstation.core.jobs.tasks.wake"


def send_hint(job: Job) -> None:
    Job.objects.filter(id=job.id).update(hinted_at=Now())
    enqueue(WAKE, str(job.id), queue=job.queue)


def send_missing_hints(queue: str) -> int:
    """Hints get lost with the worker that held them, or wake one while nothing may run (a backoff,
    an organisation at its share). Called after each job, and by the reaper."""
    with transaction.atomic():
        missing = max(0, may_start(queue) - int(get_broker(queue).queue_size()))
        for job in claimable(queue).order_by(F("hinted_at").asc(nulls_first=True))[:missing]:
            send_hint(job)
    return missing


def may_start(queue: str) -> int:
    """How many jobs could start now, were there workers enough: of each organisation no more than
    is left of its share. The rest is hinted at as these end."""
    share = settings.ORG_JOBS_AT_ONCE[queue]
    waiting = Counter(claimable(queue).values_list("org", "running"))  # type: ignore[misc]
    return sum(min(count, share - running) for (_, running), count in waiting.items())
