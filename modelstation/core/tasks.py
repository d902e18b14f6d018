"""What every worker does beside jobs: answer the canary, and bring back what was lost."""

from modelstation.core import jobs
from modelstation.core.models import QueueHealth


def canary(queue: str) -> None:
    """Scheduled every minute on each queue: a worker that runs this is a worker that works."""
    QueueHealth.seen(queue)


def reap() -> int:
    return jobs.reap()
