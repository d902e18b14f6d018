"""The reaper brings back what was lost: jobs whose worker died, and hints. Run every half minute by
each worker's keeper and by a schedule, and at each worker's start: any number may run at once."""

from django.db import transaction
from django.db.models.functions import Now

from modelstation.core.jobs.attempts import discard_attempt
from modelstation.core.jobs.jobs import CRASH_LOOP, crashed
from modelstation.core.jobs.queue import QUEUES
from modelstation.core.jobs.wakeups import send_missing_hints
from modelstation.core.models import Job


def reap() -> int:
    """How many jobs had an expired lease, by the database's clock."""
    expired = Job.objects.filter(state=Job.State.RUNNING, lease_until__lt=Now())
    reaped = sum(_reap(job) for job in expired)
    for queue in QUEUES:
        send_missing_hints(queue)
    return reaped


def _reap(job: Job) -> bool:
    with transaction.atomic():
        # Asked again under the lock: a late heartbeat may have come first, or another reaper.
        still = Job.objects.select_for_update(skip_locked=True).filter(
            id=job.id, lease_token=job.lease_token, lease_until__lt=Now()
        )
        is_reaped = bool(still) and crashed(job, code="crash_loop", text=CRASH_LOOP)
    if is_reaped:
        discard_attempt(job)
    return is_reaped
