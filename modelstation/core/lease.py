"""A held job: its heartbeat runs in a thread, and its work reports through it."""

import threading
import time
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from modelstation.core.models import Job, JobEvent, QueueHealth

HEARTBEAT_SECONDS = 5.0
PROGRESS_SECONDS = 0.5


class LeaseLost(Exception):
    """Somebody else holds the job now: stop, and write nothing."""


class Cancelled(Exception):
    """The user asked for the job to stop."""


class Lease:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.cancelled = False
        self.lost = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_closed, daemon=True)
        self._written_at = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()

    def check(self) -> None:
        """Raise when the work should stop. Cheap: reads flags that the heartbeat sets."""
        if self.lost:
            raise LeaseLost
        if self.cancelled:
            raise Cancelled

    def stage(self, name: str, message: str) -> None:
        """A new stage begins: shown at once, and kept in the job's story."""
        self._written_at = 0.0
        self._write(stage=name, progress={})
        JobEvent.tell(self.job.id, JobEvent.Kind.STAGE, message)

    def progress(self, *, step: int, total_steps: int, **detail: Any) -> None:
        """How far the stage is; written at most twice a second, and always at its last step."""
        self.check()
        if step < total_steps and time.monotonic() - self._written_at < PROGRESS_SECONDS:
            return
        self._written_at = time.monotonic()
        self._write(progress={"step": step, "total_steps": total_steps, **detail})

    def log(self, message: str) -> None:
        JobEvent.tell(self.job.id, JobEvent.Kind.LOG, message)

    def beat(self) -> None:
        """Prolong the lease, and learn whether the user wants to cancel or somebody else took the
        job.
        """
        self._write()
        QueueHealth.seen(self.job.queue)
        requested = Job.objects.values_list("cancel_requested_at", flat=True).get(id=self.job.id)
        self.cancelled = self.cancelled or requested is not None

    def _write(self, **fields: Any) -> None:
        lease_until = Now() + timedelta(seconds=settings.LEASE_SECONDS)
        held = Job.objects.filter(id=self.job.id, lease_token=self.job.lease_token)
        if not held.update(heartbeat_at=Now(), lease_until=lease_until, **fields):
            self.lost = True
            raise LeaseLost

    def _beat_until_closed(self) -> None:
        try:
            while not self.lost and not self._closed.wait(HEARTBEAT_SECONDS):
                self._beat_once()
        finally:
            connection.close()  # a thread's connection is its own to close

    def _beat_once(self) -> None:
        try:
            self.beat()
        except (LeaseLost, Job.DoesNotExist):
            self.lost = True
        except DatabaseError:
            connection.close()  # the next beat connects afresh; the lease outlives some
