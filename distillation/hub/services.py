"""Actions on the hub."""

from modelstation.core.models import Job


def settle_ended_search(job: Job) -> None:
    """Do nothing: why it ended stands on the job, and no half result was kept."""
