"""Jobs: submit, claim, heartbeat, end. The Job row is the truth; a queue message is only a hint to
look at it.

Every write after the claim says WHERE id AND lease_token: zero rows mean that the lease was lost to
somebody else, and the work is discarded. `run_job` holds the only try/except around work."""

import errno
import logging
import os
import socket
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.module_loading import import_string

from modelstation.core.errors import UserFacingError
from modelstation.core.lease import Cancelled, Lease, LeaseLost
from modelstation.core.models import Job, JobEvent, QueueHealth
from modelstation.core.queue import enqueue

logger = logging.getLogger("modelstation.jobs")

MAX_CRASHES = 3
RESEND_HINT_AFTER = timedelta(minutes=2)
INTERNAL_ERROR = (
    "Something went wrong on our side. The operator can see the details; try again, or ask them."
)
DISK_FULL = "No disk space is left. Nothing half-written was kept; free some space, then try again."
CRASH_LOOP = (
    f"The worker died {MAX_CRASHES} times while doing this, most likely for want of memory."
)


@dataclass(frozen=True)
class Kind:
    task: str
    queue: str
    # Told, in the ending transaction, of a job that ended without success. Strings, like all
    # tasks: core imports no app.
    settle: str = "models_app.services.settle_ended_job"


KINDS = {
    "import": Kind(
        "distillation.tasks.run_import", "distil", "distillation.imports.settle_ended_import"
    ),
    "distil": Kind("distillation.tasks.run_distillation", "distil"),
    "train": Kind("training.tasks.run_training", "gpu"),
    "evaluate": Kind("training.tasks.run_evaluation", "gpu"),
    "fetch": Kind("models_app.tasks.run_fetch", "distil", "models_app.fetching.settle_ended_fetch"),
    "push": Kind("distillation.tasks.run_push", "default", "distillation.pushes.settle_ended_push"),
}

Publish = Callable[[], None]
Work = Callable[[Job, Lease], Publish]


def submit(*, kind: str, org: Any, subject_id: uuid.UUID, priority: int = 0) -> Job:
    """Make a queued job and its hint in the caller's transaction."""
    with transaction.atomic():
        job: Job = Job.objects.create(
            kind=kind, queue=KINDS[kind].queue, org=org, subject_id=subject_id, priority=priority
        )
        _tell(job, JobEvent.Kind.STATE, "Waiting for a worker.")
        _send_hint(job)
    return job


def run_job(job_id: str, work: Work) -> None:
    """Claim the job and do the work. A hint for a job that is not queued (any more) is a no-op."""
    job = claim(job_id)
    if job is None:
        return
    try:
        with Lease(job) as lease:
            publish = work(job, lease)
            _succeed(job, publish)
    except LeaseLost:
        logger.warning("job %s: the lease was lost, the work is discarded", job.id)
    except Cancelled:
        _end(job, Job.State.CANCELLED, code="cancelled", text="Cancelled.")
    except UserFacingError as error:
        _end(
            job,
            Job.State.FAILED,
            code=error.code,
            text=" ".join(filter(None, [error.message, error.hint])),
        )
    except Exception as error:
        logger.exception("job %s failed", job.id)
        code, text = _what_to_say_of(error)
        _end(job, Job.State.FAILED, code=code, text=text, detail=traceback.format_exc())


def _what_to_say_of(error: Exception) -> tuple[str, str]:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "disk_full", DISK_FULL
    return "internal_error", INTERNAL_ERROR


def claim(job_id: str) -> Job | None:
    """Take the lease by one conditional UPDATE; None when the job is not there to be taken."""
    token = uuid.uuid4()
    with transaction.atomic():
        taken = Job.objects.filter(id=job_id, state=Job.State.QUEUED).update(
            state=Job.State.RUNNING,
            lease_token=token,
            lease_owner=f"{socket.gethostname()}:{os.getpid()}",
            lease_until=Now() + timedelta(seconds=settings.LEASE_SECONDS),
            heartbeat_at=Now(),
            started_at=Now(),
            attempt=F("attempt") + 1,
        )
        if not taken:
            return None
        job: Job = Job.objects.select_related("org").get(id=job_id)
        QueueHealth.seen(job.queue)
        _tell(
            job,
            JobEvent.Kind.STATE,
            "Started." if job.attempt == 1 else f"Started again, attempt {job.attempt}.",
        )
    return job


def request_cancel(job: Job) -> bool:
    """Cancel a queued job at once; ask a running one to stop. False when it has ended already."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(id=job.id)
        if job.state == Job.State.QUEUED:
            return _end(
                job, Job.State.CANCELLED, code="cancelled", text="Cancelled before it started."
            )
        if job.state == Job.State.RUNNING and job.cancel_requested_at is None:
            Job.objects.filter(id=job.id).update(cancel_requested_at=Now())
            _tell(job, JobEvent.Kind.STATE, "Cancel requested.")
        return job.state == Job.State.RUNNING


def requeue(job: Job) -> Job:
    """A new job for the same work, after one that failed or was cancelled: ended rows are final."""
    if job.is_live:
        raise UserFacingError(
            "This run has not ended yet.", code="still_running", hint="Cancel it first."
        )
    return submit(kind=job.kind, org=job.org, subject_id=job.subject_id, priority=job.priority)


def reap() -> int:
    """Put jobs with an expired lease back in their queue, and send again the hints that were
    lost.
    """
    expired = Job.objects.filter(state=Job.State.RUNNING, lease_until__lt=Now())
    reaped = sum(_reap_one(job) for job in expired)
    stale = timezone.now() - RESEND_HINT_AFTER
    for job in Job.objects.filter(state=Job.State.QUEUED).filter(
        Q(hinted_at__lt=stale) | Q(hinted_at=None)
    ):
        with transaction.atomic():
            _send_hint(job)
    return reaped


def _reap_one(job: Job) -> bool:
    if job.crash_count + 1 >= MAX_CRASHES:
        return _end(job, Job.State.FAILED, code="crash_loop", text=CRASH_LOOP)
    if job.cancel_requested_at:
        return _end(job, Job.State.CANCELLED, code="cancelled", text="Cancelled.")
    with transaction.atomic():
        freed = Job.objects.filter(
            id=job.id, state=Job.State.RUNNING, lease_token=job.lease_token
        ).update(
            state=Job.State.QUEUED,
            lease_token=None,
            lease_until=None,
            crash_count=F("crash_count") + 1,
        )
        if freed:
            _tell(job, JobEvent.Kind.STATE, "The worker was lost; waiting for another.")
            _send_hint(job)
    return bool(freed)


def _succeed(job: Job, publish: Publish) -> None:
    with transaction.atomic():
        if not _set_ended(job, Job.State.SUCCEEDED):
            raise LeaseLost
        publish()
        _tell(job, JobEvent.Kind.STATE, "Done.")


def _end(job: Job, state: Job.State, *, code: str, text: str, detail: str = "") -> bool:
    with transaction.atomic():
        if not _set_ended(job, state, error_code=code, error_text=text):
            return False
        job.refresh_from_db()
        kind = JobEvent.Kind.ERROR if state == Job.State.FAILED else JobEvent.Kind.STATE
        _tell(job, kind, text, operator_detail=detail)
        import_string(KINDS[job.kind].settle)(job)
    return True


def _set_ended(job: Job, state: Job.State, **fields: str) -> bool:
    """The fence: a terminal state is final, and only the holder of the lease may set it."""
    held = Job.objects.filter(id=job.id, state=job.state, lease_token=job.lease_token)
    return bool(
        held.update(state=state, lease_token=None, lease_until=None, finished_at=Now(), **fields)
    )


def _tell(job: Job, kind: str, message: str, *, operator_detail: str = "") -> None:
    JobEvent.tell(job.id, kind, message, operator_detail=operator_detail)


def _send_hint(job: Job) -> None:
    Job.objects.filter(id=job.id).update(hinted_at=Now())
    enqueue(KINDS[job.kind].task, str(job.id), queue=job.queue)
