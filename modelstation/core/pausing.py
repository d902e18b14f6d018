"""Pause and resume of a job, as far as its row goes. The supervisor acts on `pause_requested_at`.

Stands in for the same two names of modelstation.core.jobs until those are merged."""

from django.db import transaction
from django.db.models.functions import Now

from modelstation.core import jobs
from modelstation.core.models import Job, JobEvent
from modelstation.core.queue import enqueue


def request_pause(job: Job) -> bool:
    """Pause a queued job at once; ask a running one to. False for one that is neither."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(id=job.id)
        if job.state == Job.State.QUEUED:
            Job.objects.filter(id=job.id).update(state=Job.State.PAUSED)
            JobEvent.tell(job.id, JobEvent.Kind.STATE, "Paused before it started.")
        elif job.state == Job.State.RUNNING and job.pause_requested_at is None:
            Job.objects.filter(id=job.id).update(pause_requested_at=Now())
            JobEvent.tell(job.id, JobEvent.Kind.STATE, "Pause requested.")
        return job.state in (Job.State.QUEUED, Job.State.RUNNING)


def resume(job: Job) -> bool:
    """Queue a paused job again. False for one that is not paused."""
    with transaction.atomic():
        resumed = Job.objects.filter(id=job.id, state=Job.State.PAUSED).update(
            state=Job.State.QUEUED, pause_requested_at=None, hinted_at=Now()
        )
        if resumed:
            JobEvent.tell(job.id, JobEvent.Kind.STATE, "Resumed; waiting for a worker.")
            enqueue(jobs.KINDS[job.kind].task, str(job.id), queue=job.queue)
        return bool(resumed)
