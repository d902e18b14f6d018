"""Claims: which job a worker takes next, and taking it.

A claim is fair: an organisation that has its share of the queue's workers waits; then higher
priority first; then the organisation with fewer jobs running, then the one served longest ago; then
age. So 100 queued runs of one organisation delay another's first run by one run at most. One
advisory lock per queue makes the share exact, however many workers claim at once."""

import os
import socket
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import LessThan

from modelstation.core.models import Job, JobEvent, QueueHealth

State = Job.State


def claim(job_id: uuid.UUID | str) -> Job | None:
    """Take the lease of this job by one conditional UPDATE; None when it cannot be taken."""
    with transaction.atomic():
        taken = Job.objects.filter(id=job_id, state=State.QUEUED).update(
            state=State.RUNNING,
            lease_token=uuid.uuid4(),
            lease_owner=f"{cluster_name(os.getppid())}{os.getpid()}",
            lease_until=Now() + timedelta(seconds=settings.LEASE_SECONDS),
            heartbeat_at=Now(),
            started_at=Now(),
            not_before=None,
            attempt=F("attempt") + 1,
        )
        if not taken:
            return None
        job: Job = Job.objects.select_related("org").get(id=job_id)
        QueueHealth.seen(job.queue)
        started = "Started." if job.attempt == 1 else f"Started again, attempt {job.attempt}."
        JobEvent.emit(job.id, JobEvent.Kind.STATE, started)
    return job


def claim_fairest(queue: str) -> Job | None:
    """Take the job of the queue whose turn it is; None when none may run now."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"claim {queue}"])
        next_job = fairest_first(queue).select_for_update(skip_locked=True, of=("self",)).first()
        return next_job and claim(next_job.id)


def claimable(queue: str) -> QuerySet[Job]:
    """Queued, past its backoff, and of an organisation that has not its whole share running."""
    waiting = Job.objects.filter(queue=queue, state=State.QUEUED)
    due = waiting.filter(Q(not_before=None) | Q(not_before__lte=Now()))
    running = Job.objects.filter(org=OuterRef("org"), queue=queue, state=State.RUNNING)
    counted = running.order_by().values("org").annotate(count=Count("id")).values("count")
    due = due.annotate(running=Coalesce(Subquery(counted), 0, output_field=IntegerField()))
    has_share = LessThan(F("running"), settings.ORG_JOBS_AT_ONCE[queue])
    below_share: QuerySet[Job] = due.filter(has_share)
    return below_share


def fairest_first(queue: str) -> QuerySet[Job]:
    newest_start = Job.objects.filter(
        org=OuterRef("org"), queue=OuterRef("queue"), started_at__isnull=False
    ).order_by("-started_at")
    served_at = Subquery(newest_start.values("started_at")[:1])
    longest_ago = F("served_at").asc(nulls_first=True)
    order = ("-priority", F("running").asc(), longest_ago, "created_at", "id")
    return claimable(queue).annotate(served_at=served_at).order_by(*order)


def cluster_name(parent_pid: int) -> str:
    """How the owners of leases of one cluster on one host begin."""
    return f"{socket.gethostname()}:{parent_pid}:"
