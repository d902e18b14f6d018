"""What workers do: take the next job, answer the canary, bring back what was lost."""

from django.db import transaction
from django.db.models.functions import Now
from django_q.models import OrmQ

from modelstation.core.jobs import jobs
from modelstation.core.jobs.attempts import discard_attempt
from modelstation.core.jobs.queue import QUEUES, path_of, send_missing_wakeups
from modelstation.core.models import Job, QueueHealth


def wake(job_id: str) -> None:
    """Run a job of the queue on which this one waits."""
    jobs.run_fairest(job_id)


def canary(queue: str) -> None:
    """Show that a worker of this queue works. The canaries that piled up behind a long job say
    nothing more."""
    QueueHealth.seen(queue)
    waiting = OrmQ.objects.filter(key=queue)
    canaries = [message.id for message in waiting if message.func() == path_of(canary)]
    OrmQ.objects.filter(id__in=canaries).delete()
    send_missing_wakeups(queue)  # the reaper, which counts messages, may have counted these


def reap() -> int:
    """Bring back jobs whose worker died, and lost wakeups; return how many jobs. Run every half
    minute by each keeper and by a schedule, and at each cluster's start: any number at once."""
    expired = Job.objects.filter(state=Job.State.RUNNING, lease_until__lt=Now())
    reaped = sum(_reap(job) for job in expired)
    for queue in QUEUES:
        send_missing_wakeups(queue)
    return reaped


def _reap(job: Job) -> bool:
    still = Job.objects.filter(id=job.id, lease_token=job.lease_token, lease_until__lt=Now())
    with transaction.atomic():
        # Read again under the lock: a late heartbeat may have come first, or another reaper.
        still = still.select_for_update(skip_locked=True)
        is_reaped = bool(still) and jobs.crashed(job, code="crash_loop", text=jobs.CRASH_LOOP)
    if is_reaped:
        discard_attempt(job)
    return is_reaped
