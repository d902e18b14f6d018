"""Where an organisation is notified of its jobs, and what was sent there. Django finds these rows
through models_app.models."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from accounts.models import User
from modelstation.core.encrypted import EncryptedField
from modelstation.core.tenancy import OrgOwned


class WebhookEvent(models.TextChoices):
    SUCCEEDED = "fine_tuning.job.succeeded"
    FAILED = "fine_tuning.job.failed"
    CANCELLED = "fine_tuning.job.cancelled"


def every_event() -> list[str]:
    return list(WebhookEvent.values)


class WebhookEndpoint(OrgOwned):
    name = models.CharField(max_length=80, blank=True)
    url = models.URLField(max_length=500)
    events = ArrayField(models.CharField(max_length=40), default=every_event)
    is_enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, blank=True)
    secret = EncryptedField()
    secret_hint = models.CharField(max_length=20)  # all that is ever shown of it again
    # After a rotation both sign, until this time, so that a receiver can change over.
    old_secret = EncryptedField(blank=True, default="")
    old_secret_until = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)  # empty: the last one arrived
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name or self.url


class WebhookDelivery(OrgOwned):
    """One event for one endpoint: made in the transaction that ends the job, sent by a worker."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        GIVEN_UP = "given_up"

    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries"
    )
    event_id = models.CharField(max_length=40)  # `evt_…`, the same at every endpoint and try
    cause = models.CharField(max_length=80)  # what it reports: a job and how it ended
    type = models.CharField(max_length=40)
    body = models.TextField()  # as it is signed and sent
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)
    tried_at = models.DateTimeField(null=True, blank=True)
    # Of the last try: the status and how the answer began, or why there was none.
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    response = models.TextField(blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "cause"], name="one_delivery_per_cause")
        ]
        indexes = [
            models.Index(
                fields=["next_try_at"],
                condition=models.Q(state="waiting"),
                name="webhooks_that_wait",
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} to {self.endpoint_id}"

    @property
    def is_test(self) -> bool:
        """A test is its own cause; else that is the job it reports."""
        return self.cause == self.event_id
