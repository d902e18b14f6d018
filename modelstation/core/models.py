"""The Job row: one table for all background work, and the only truth about it."""

import uuid
from collections.abc import Mapping

from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from modelstation.core.jobs.interrupts import LeaseLost
from modelstation.core.jobs.progress import JobProgress
from modelstation.core.tenancy import OrgOwned


class Job(OrgOwned):
    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PAUSED = "paused"  # by a person; only a person queues it again
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    LIVE_STATES = (State.QUEUED, State.RUNNING, State.PAUSED)

    kind = models.CharField(max_length=20)
    queue = models.CharField(max_length=20)
    # The row the work is about (a CustomModel, an ImportRun). No foreign key: the ground floor
    # knows no app.
    subject_id = models.UUIDField(db_index=True)
    state = models.CharField(max_length=20, choices=State.choices, default=State.QUEUED)
    stage = models.CharField(max_length=40, blank=True)
    progress = models.JSONField(default=dict, blank=True)  # see core.jobs.progress
    priority = models.SmallIntegerField(default=0)
    attempt = models.PositiveSmallIntegerField(default=0)
    crash_count = models.PositiveSmallIntegerField(default=0)  # since the last new checkpoint
    checkpoint_step = models.PositiveIntegerField(default=0, editable=False)
    # Laid over the config of the next attempt, such as a smaller micro-batch for a small GPU.
    overrides = models.JSONField(default=dict, blank=True)
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_owner = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    pause_requested_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)  # backoff after a crash
    # One job per key, organisation and kind, however often the same request is sent.
    idempotency_key = models.CharField(max_length=255, blank=True)
    event_count = models.PositiveIntegerField(default=0, editable=False)
    error_code = models.CharField(max_length=60, blank=True)
    error_text = models.TextField(blank=True)
    hinted_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["queue", "state", "-priority", "created_at"]),
            models.Index(fields=["org", "queue", "-started_at"], name="newest_start_of_org"),
        ]
        constraints = [
            models.CheckConstraint(
                name="running_has_a_lease",
                condition=models.Q(state="running", lease_token__isnull=False)
                | (~models.Q(state="running") & models.Q(lease_token__isnull=True)),
            ),
            models.UniqueConstraint(
                name="one_job_per_idempotency_key",
                fields=["org", "kind", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.state})"

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE_STATES

    @property
    def figures(self) -> JobProgress:
        return JobProgress.from_json(self.progress)

    @property
    def percent(self) -> int:
        return self.figures.percent

    @property
    def seconds(self) -> float:
        if not self.started_at:
            return 0.0
        return float(((self.finished_at or timezone.now()) - self.started_at).total_seconds())


class JobEvent(models.Model):
    """Append-only story of a job: what the page, the API and the terminal show.

    `seq` counts from 1 without gaps within a job and is given under the job's row lock, so that a
    reader who asks for what came after the last one it saw misses nothing."""

    class Kind(models.TextChoices):
        STATE = "state"
        STAGE = "stage"
        LOG = "log"
        ERROR = "error"
        METRICS = "metrics"  # data: step, total_steps, loss, learning_rate …
        CHECKPOINT = "checkpoint"  # data: step

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField()
    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    message = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    # For operators only: a traceback never reaches a tenant's page.
    operator_detail = models.TextField(blank=True)

    class Meta:
        ordering = ["job", "seq"]
        constraints = [models.UniqueConstraint(fields=["job", "seq"], name="one_event_per_seq")]

    def __str__(self) -> str:
        return self.message

    @classmethod
    def emit(
        cls,
        job_id: uuid.UUID,
        kind: str,
        message: str = "",
        *,
        data: Mapping[str, float | None] | None = None,
        operator_detail: str = "",
        lease_token: uuid.UUID | None = None,
    ) -> "JobEvent":
        """Append an event; with a `lease_token` as its holder alone: LeaseLost for others."""
        held = {} if lease_token is None else {"lease_token": lease_token}
        with transaction.atomic():
            counted = Job.objects.filter(id=job_id, **held).update(event_count=F("event_count") + 1)
            if held and not counted:
                raise LeaseLost
            seq = Job.objects.values_list("event_count", flat=True).get(id=job_id)
            written = {
                "message": message,
                "data": dict(data or {}),
                "operator_detail": operator_detail,
            }
            return cls.objects.create(job_id=job_id, seq=seq, kind=kind, **written)


class QueueHealth(models.Model):
    """When a worker of each queue was last seen: working on a job, or answering the canary."""

    queue = models.CharField(max_length=20, primary_key=True)
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "queue health"

    def __str__(self) -> str:
        return f"{self.queue}: {self.seen_at:%H:%M:%S}"

    @classmethod
    def seen(cls, queue: str) -> None:
        cls.objects.update_or_create(queue=queue, defaults={"seen_at": Now()})
