"""What workers are told to do: take the next job, answer the canary, bring back what was lost."""

from django_q.models import OrmQ

from modelstation.core.jobs import jobs, reaper
from modelstation.core.jobs.wakeups import send_missing_hints
from modelstation.core.models import QueueHealth

CANARY = "modelstation.core.jobs.tasks.canary"
REAP = "modelstation.core.jobs.tasks.reap"


def wake(job_id: str) -> None:
    """A hint: there is work on the queue of this job."""
    jobs.run_fairest(job_id)


def canary(queue: str) -> None:
    """Scheduled on each queue: a worker that runs this is a worker that works. The canaries that
    piled up behind a long job say nothing more."""
    QueueHealth.seen(queue)
    waiting = OrmQ.objects.filter(key=queue)
    OrmQ.objects.filter(id__in=[hint.id for hint in waiting if hint.func() == CANARY]).delete()
    send_missing_hints(queue)  # the reaper, which counts messages, may have taken these for hints


def reap() -> int:
    return reaper.reap()
