"""A held job: its heartbeat runs in a thread, and its work reports through it.

Every write says WHERE id AND lease_token, events too: who lost the lease writes nothing."""

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Self, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.models.functions import Now

from modelstation.core.jobs.interrupts import Cancelled as Cancelled
from modelstation.core.jobs.interrupts import Drained, Paused
from modelstation.core.jobs.interrupts import LeaseLost as LeaseLost
from modelstation.core.models import Job, JobEvent, QueueHealth

HEARTBEAT_SECONDS: float = settings.HEARTBEAT_SECONDS
LOOKS_PER_BEAT = 5  # for a request to cancel or pause, and for a lease that was lost
LOOKED_AT = ("lease_token", "cancel_requested_at", "pause_requested_at")
PROGRESS_SECONDS = 0.5
RECONNECT_SECONDS = 0.5
DATABASE_IS_AWAY = (OperationalError, InterfaceError)
T = TypeVar("T")


class Lease:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.lost = self.cancelled = self.paused = False
        self.draining = False  # set by a SIGTERM to this worker
        # The supervisor holds a child that stops by itself, with a checkpoint, when requested.
        self.child_pauses = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_closed, daemon=True)
        self._written_at = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    @property
    def token(self) -> uuid.UUID:
        assert self.job.lease_token is not None
        return self.job.lease_token

    def check(self) -> None:
        """Raise when the work should stop. Cheap: reads flags that the heartbeat sets."""
        if self.lost:
            raise LeaseLost
        if self.cancelled:
            raise Cancelled
        if not self.child_pauses:
            self.check_pause()

    def check_pause(self) -> None:
        if self.paused:
            raise Paused
        if self.draining:
            raise Drained

    def stage(self, name: str, message: str) -> None:
        """Begin a new stage: shown at once, and kept in the job's story."""
        self._written_at = 0.0
        self._write(stage=name, progress={})
        self.emit(JobEvent.Kind.STAGE, message)

    def progress(self, *, step: int, total_steps: int, **detail: Any) -> None:
        """How far the stage is; written at most twice a second, and always at its last step."""
        self.check()
        if step < total_steps and time.monotonic() - self._written_at < PROGRESS_SECONDS:
            return
        self._written_at = time.monotonic()
        self._write(progress={"step": step, "total_steps": total_steps, **detail})

    def log(self, message: str) -> None:
        self.emit(JobEvent.Kind.LOG, message)

    def emit(
        self, kind: str, message: str = "", *, data: Mapping[str, float | None] | None = None
    ) -> None:
        """Add an event to the job's story, as the holder of its lease."""
        token = self.token
        patiently(partial(JobEvent.emit, self.job.id, kind, message, data=data, lease_token=token))

    def checkpointed(self, step: int) -> None:
        """Note a newer checkpoint than any before: what crashed until then no longer counts."""
        if step > self.job.checkpoint_step:
            self.job.checkpoint_step = step
            self._write(checkpoint_step=step, crash_count=0)

    def beat(self) -> None:
        """Prolong the lease, and learn what the user wants."""
        self._write_once()
        QueueHealth.seen(self.job.queue)
        self.look()

    def look(self) -> None:
        """Learn whether the user wants to cancel or pause, or somebody else took the job. That a
        job was deleted is learnt at the next beat."""
        for job in Job.objects.filter(id=self.job.id).only(*LOOKED_AT):
            if job.lease_token != self.token:
                self.lost = True
                raise LeaseLost
            self.cancelled = self.cancelled or job.cancel_requested_at is not None
            self.paused = job.pause_requested_at is not None

    def _write(self, **fields: Any) -> None:
        patiently(partial(self._write_once, **fields))

    def _write_once(self, **fields: Any) -> None:
        lease_until = Now() + timedelta(seconds=settings.LEASE_SECONDS)
        held = Job.objects.filter(id=self.job.id, lease_token=self.token)
        if not held.update(heartbeat_at=Now(), lease_until=lease_until, **fields):
            self.lost = True
            raise LeaseLost

    def _beat_until_closed(self) -> None:
        beat_at = time.monotonic()
        try:
            while not self.lost and not self._closed.wait(HEARTBEAT_SECONDS / LOOKS_PER_BEAT):
                is_due = time.monotonic() - beat_at >= HEARTBEAT_SECONDS
                if self._try(self.beat if is_due else self.look) and is_due:
                    beat_at = time.monotonic()
        finally:
            connection.close()  # a thread's connection is its own to close

    def _try(self, ask: Callable[[], None]) -> bool:
        try:
            ask()
        except LeaseLost:
            self.lost = True
        except (DatabaseError, InterfaceError):
            connection.close()  # the next beat connects afresh; the lease outlives some
            return False
        return True


def patiently(write: Callable[[], T]) -> T:
    """Wait for a database that restarts, for as long as a lease lives; then raise."""
    deadline = time.monotonic() + settings.LEASE_SECONDS
    while True:
        try:
            return write()
        except DATABASE_IS_AWAY:
            if connection.in_atomic_block or time.monotonic() > deadline:
                raise
            connection.close()
            time.sleep(RECONNECT_SECONDS)
