"""Jobs: submit, run, pause, cancel, end. The Job row is the truth; a queue message only wakes a
worker to look at it.

    queued -> running -> succeeded | failed | cancelled      (final)
    running -> queued      a crash (after a backoff), or a worker that shuts down
    queued, running -> paused -> queued                      by a person

Every write after the claim says WHERE id AND lease_token: zero rows mean that the lease was lost to
somebody else, and the work is discarded. `run_job` holds the only try/except around work."""

import errno
import logging
import signal
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from modelstation.core.errors import DISK_FULL, Busy, UserFacingError
from modelstation.core.jobs.attempts import discard_attempt
from modelstation.core.jobs.claims import claim as claim
from modelstation.core.jobs.claims import claim_fairest
from modelstation.core.jobs.interrupts import Cancelled, Crashed, Drained, Paused, RetrySmaller
from modelstation.core.jobs.kinds import KINDS, run_task
from modelstation.core.jobs.lease import Lease, LeaseLost, patiently
from modelstation.core.jobs.queue import send_missing_wakeups, send_wakeup
from modelstation.core.models import Job, JobEvent

logger = logging.getLogger("modelstation.jobs")

MAX_CRASHES = 3  # without a new checkpoint between them
INTERNAL_ERROR = (
    "Something went wrong on our side. The operator can see the details; try again, or ask them."
)
CRASH_LOOP = (
    f"The worker died {MAX_CRASHES} times while doing this, most likely because memory ran out."
)
Publish = Callable[[], None]
Work = Callable[[Job, Lease], Publish]
State = Job.State


def submit(
    *, kind: str, org: Any, subject_id: uuid.UUID, priority: int = 0, idempotency_key: str = ""
) -> Job:
    """Make a queued job and its wakeup in the caller's transaction. However often it is called with
    one key, there is one job."""
    fields = {"queue": KINDS[kind].queue, "subject_id": subject_id, "priority": priority}
    with transaction.atomic():
        if idempotency_key:
            job, is_new = Job.objects.get_or_create(
                kind=kind, org=org, idempotency_key=idempotency_key, defaults=fields
            )
        else:
            job, is_new = Job.objects.create(kind=kind, org=org, **fields), True
        if is_new:
            JobEvent.emit(job.id, JobEvent.Kind.STATE, "Waiting for a worker.")
            send_wakeup(job)
        return job


# --- A worker runs a job --------------------------------------------------------------------------


def run_fairest(job_id: str) -> None:
    """Run the job whose turn it is on the queue of this one: mostly that one."""
    queue = Job.objects.filter(id=job_id).values_list("queue", flat=True).first()
    with _sigterm_held():
        job = claim_fairest(queue) if queue else None
        if job is not None:
            run_task(job.kind, job)
            send_missing_wakeups(job.queue)


def run_job(job: Job | str, work: Work) -> None:
    """Do the work of a job that the caller claimed, or of one that is claimed here by its id: a
    no-op when it is not queued (any more)."""
    held = job if isinstance(job, Job) else claim(job)
    if held is not None:
        lease = Lease(held)
        with _sigterm_held(lease):
            _run_held(held, lease, work)


def _run_held(job: Job, lease: Lease, work: Work) -> None:
    try:
        with lease:
            publish = work(job, lease)
            patiently(partial(_succeed, job, publish))
    except Exception as error:
        if not isinstance(error, UserFacingError | Cancelled | Paused | Drained):
            known = isinstance(error, LeaseLost | Crashed | RetrySmaller)
            logger.warning("job %s: %r", job.id, error, exc_info=None if known else error)
        patiently(partial(_leave, job, error))
    except BaseException:  # Ctrl-C in a command that works off jobs itself
        _put_back(job, "The worker was interrupted; waiting for another.")
        raise
    finally:
        discard_attempt(job)


def _leave(job: Job, error: Exception) -> None:
    """Decide what becomes of a job whose work did not return a result."""
    match error:
        case LeaseLost():
            pass  # the work is discarded, and nothing is written
        case Cancelled():
            _end(job, State.CANCELLED, code="cancelled", text="Cancelled.")
        case Paused():
            _put_back(job, "The pause was withdrawn; waiting for a worker.")
        case Drained():
            _put_back(job, "The worker is shutting down; waiting for another.")
        case RetrySmaller(overrides=overrides, text=text):
            message = f"{text} Trying once more with a smaller batch."
            _put_back(job, message, data=overrides, overrides=overrides)
        case Crashed(code=code, text=text):
            crashed(job, code=code, text=text)
        case OperationalError() | InterfaceError():
            crashed(job, code="internal_error", text=INTERNAL_ERROR)
        case UserFacingError():
            text = error.text
            _end(job, State.FAILED, code=error.code, text=text)
        case _:
            code, text = "internal_error", INTERNAL_ERROR
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                code, text = "disk_full", DISK_FULL
            detail = "".join(traceback.format_exception(error))
            _end(job, State.FAILED, code=code, text=text, detail=detail)


_waiting_sigterms: list[int] = []  # SIGTERMs that came while nobody could act on them


@contextmanager
def _sigterm_held(lease: Lease | None = None) -> Iterator[None]:
    """Let a job stop in order at a SIGTERM; then that does what it would have done. Without a
    lease, keep one that comes between the claim and the work, which is imported there, for the
    work. A handler holds it and not a mask, which another thread of this process would not have."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hold(*_: object) -> None:
        if lease:
            lease.draining = True
        else:
            _waiting_sigterms.append(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, hold)
    if lease and _waiting_sigterms:
        _waiting_sigterms.clear()
        lease.draining = True
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if lease.draining if lease else _waiting_sigterms:
            _waiting_sigterms.clear()
            signal.raise_signal(signal.SIGTERM)


# --- What people ask for --------------------------------------------------------------------------


def request_cancel(job: Job) -> bool:
    """Cancel a waiting job at once; ask a running one to stop. False when it has ended already."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(id=job.id)
        if job.state in (State.QUEUED, State.PAUSED):
            text = "Cancelled before it started." if not job.attempt else "Cancelled."
            if job.state == State.PAUSED:
                text = "Cancelled while it was paused."
            return _end(job, State.CANCELLED, code="cancelled", text=text)
        if job.state == State.RUNNING and job.cancel_requested_at is None:
            Job.objects.filter(id=job.id).update(cancel_requested_at=Now())
            JobEvent.emit(job.id, JobEvent.Kind.STATE, "Cancel requested.")
        return job.state == State.RUNNING


def request_pause(job: Job) -> bool:
    """Pause a queued job at once; ask a running one to stop at its next checkpoint. False when
    there is nothing to pause."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(id=job.id)
        if job.state == State.QUEUED:
            return _put_back(job, "Paused.", state=State.PAUSED, pause_requested_at=Now())
        if job.state != State.RUNNING or job.cancel_requested_at:
            return False
        if job.pause_requested_at is None:
            Job.objects.filter(id=job.id).update(pause_requested_at=Now())
            JobEvent.emit(job.id, JobEvent.Kind.STATE, "Pause requested.")
        return True


def resume(job: Job) -> bool:
    """Queue a paused job again; one that has not paused yet goes on. False for any other."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(id=job.id)
        if job.state == State.PAUSED:
            return _put_back(job, "Resumed; waiting for a worker.")
        if job.state != State.RUNNING or not job.pause_requested_at:
            return False
        Job.objects.filter(id=job.id).update(pause_requested_at=None)
        JobEvent.emit(job.id, JobEvent.Kind.STATE, "Pause withdrawn.")
        return True


def requeue(job: Job) -> Job:
    """Submit the same work anew, after a job that failed or was cancelled: ended rows are final."""
    if job.is_live:
        raise Busy("This run has not ended yet.", code="still_running", hint="Cancel it first.")
    return submit(kind=job.kind, org=job.org, subject_id=job.subject_id, priority=job.priority)


# --- Ends and ways back ---------------------------------------------------------------------------


def crashed(job: Job, *, code: str, text: str) -> bool:
    """Try the job of a dead worker again after a backoff, or fail it when they have died too often
    without a new checkpoint between."""
    with transaction.atomic():
        row = _held(job)
        if row is None:
            return False
        if row.crash_count + 1 >= MAX_CRASHES and not row.cancel_requested_at:
            return _end(job, State.FAILED, code=code, text=text)
        crashes = F("crash_count") + 1
        due = Now() + timedelta(seconds=settings.BACKOFF_SECONDS * 2**row.crash_count)
        message = "The worker was lost; trying again soon."
        return _put_back(job, message, crash_count=crashes, not_before=due)


def _put_back(
    job: Job,
    message: str,
    *,
    state: Job.State = State.QUEUED,
    data: Mapping[str, float | None] | None = None,
    **fields: Any,
) -> bool:
    """Give the job back, queued or paused. What the user requested meanwhile goes first."""
    with transaction.atomic():
        row = _held(job)
        if row is None:
            return False
        if row.cancel_requested_at:
            return _end(job, State.CANCELLED, code="cancelled", text="Cancelled.")
        if row.state == State.RUNNING and row.pause_requested_at:
            state, message = State.PAUSED, "Paused."
        if state == State.QUEUED:
            fields["pause_requested_at"] = None
        unleased = {"lease_token": None, "lease_until": None, "not_before": None, "hinted_at": None}
        Job.objects.filter(id=job.id).update(state=state, **unleased | fields)
        JobEvent.emit(job.id, JobEvent.Kind.STATE, message, data=data)
        if state == State.QUEUED and not fields.get("not_before"):
            send_wakeup(job)
    return True


def _succeed(job: Job, publish: Publish) -> None:
    with transaction.atomic():
        if not _set_ended(job, State.SUCCEEDED):
            raise LeaseLost
        publish()
        JobEvent.emit(job.id, JobEvent.Kind.STATE, "Done.")


def _end(job: Job, state: Job.State, *, code: str, text: str, detail: str = "") -> bool:
    with transaction.atomic():
        if not _set_ended(job, state, error_code=code, error_text=text):
            return False
        ended = Job.objects.select_related("org").get(id=job.id)
        kind = JobEvent.Kind.ERROR if state == State.FAILED else JobEvent.Kind.STATE
        JobEvent.emit(job.id, kind, text, operator_detail=detail)
        KINDS[job.kind].settle(ended)
    return True


def _set_ended(job: Job, state: Job.State, **fields: str) -> bool:
    """Set a terminal state. It is final, and only the holder of the lease may set it."""
    ended = {"state": state, "lease_token": None, "lease_until": None, "finished_at": Now()}
    return bool(_as_held(job).update(**ended | fields))


def _held(job: Job) -> Job | None:
    """Return the row as it stands, locked; None when it is not in the hands it was in."""
    return _as_held(job).select_for_update().first()


def _as_held(job: Job) -> QuerySet[Job]:
    return Job.objects.filter(id=job.id, state=job.state, lease_token=job.lease_token)
