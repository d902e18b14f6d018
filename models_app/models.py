"""WHAT: base models, the customers' models and their versions, and what was used."""

from django.db import models

from accounts.models import User
from models_app.usage_models import UsageCounter as UsageCounter
from models_app.usage_models import UsageLimit as UsageLimit
from models_app.usage_models import UsageRecord as UsageRecord
from models_app.webhook_models import WebhookDelivery as WebhookDelivery
from models_app.webhook_models import WebhookEndpoint as WebhookEndpoint
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgOwned


class FoundationModel(models.Model):
    """A base to start from. Rows mirror modelstation.lm.catalog, so that models can point at
    them.
    """

    name = models.SlugField(max_length=80, primary_key=True)
    hub_id = models.CharField(max_length=120)
    revision = models.CharField(max_length=40)
    license = models.CharField(max_length=40)
    parameters = models.BigIntegerField()
    context = models.PositiveIntegerField()
    architecture = models.CharField(max_length=20, blank=True)
    download_bytes = models.BigIntegerField(default=0)  # about
    served_bytes = models.BigIntegerField(default=0)  # of the GGUF, about
    suits = models.CharField(max_length=200, blank=True)
    is_installed = models.BooleanField(default=False)

    class Meta:
        ordering = ["parameters"]

    def __str__(self) -> str:
        return self.name


class BaseFetch(OrgOwned):
    """One wish to have a base on this installation; its state is its job's. The base, once it is
    there, is everybody's.
    """

    base = models.ForeignKey(FoundationModel, on_delete=models.CASCADE, related_name="fetches")
    job = models.OneToOneField(Job, on_delete=models.SET_NULL, null=True, related_name="base_fetch")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "base fetches"

    def __str__(self) -> str:
        return f"fetch of {self.base_id}"


class CustomModel(OrgOwned):
    class Status(models.TextChoices):
        PENDING = "pending"
        DISTILLING = "distilling"
        REVIEW = "review"
        TRAINING = "training"
        EVALUATING = "evaluating"
        READY = "ready"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Curation(models.TextChoices):
        AUTO = "auto"  # a dataset is frozen and trained on as soon as it is selected
        REVIEW = "review"  # it waits, as a draft, for a person to freeze it

    LIVE_STATUSES = (Status.PENDING, Status.DISTILLING, Status.TRAINING, Status.EVALUATING)

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=80)
    requirement = models.TextField()
    objective = models.TextField(blank=True)
    policy = models.TextField(blank=True)
    examples = models.JSONField(default=list, blank=True)  # [{"input", "output"}]
    test_rows = models.JSONField(
        default=list, blank=True
    )  # [{"input", "output"}], held out; empty: the frozen split
    success_criteria = models.JSONField(default=list, blank=True)  # sentences
    metric = models.CharField(max_length=40, blank=True)  # empty: chosen from the kind of task
    system_prompt = models.TextField(
        blank=True
    )  # empty until compiled from the requirement, then editable
    base = models.ForeignKey(FoundationModel, on_delete=models.PROTECT, related_name="+")
    rows = models.PositiveIntegerField(default=1000)  # asked for in the dataset
    # Corrections of what was understood: see distillation.pipeline.types.IntentEdits.
    intent_edits = models.JSONField(default=dict, blank=True)
    curation = models.CharField(max_length=10, choices=Curation.choices, default=Curation.AUTO)
    training_config = models.JSONField(default=dict, blank=True)  # asked; empty: automatic
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.PENDING)
    status_reason = models.TextField(blank=True)
    live_version = models.ForeignKey(
        "ModelVersion", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    # Who started the build that goes on or was the last: they are told how it ends.
    built_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["org", "slug"], name="one_slug_per_org")]
        indexes = [models.Index(fields=["org", "-created_at"])]

    def __str__(self) -> str:
        return self.name

    @property
    def is_live_work(self) -> bool:
        return self.status in self.LIVE_STATUSES


class ModelVersion(OrgOwned):
    """One trained result: an immutable folder of artifacts. Publishing and rolling back move
    `live_version`.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        READY = "ready"
        RETIRED = "retired"

    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    base = models.ForeignKey(FoundationModel, on_delete=models.PROTECT, related_name="+")
    system_prompt = models.TextField()
    dataset_digest = models.CharField(max_length=64)
    folder = models.CharField(max_length=300)  # under settings.ARTIFACTS_DIR
    artifacts = models.JSONField(
        default=dict
    )  # {"adapter": manifest, "merged": manifest, "gguf": manifest}
    config = models.JSONField(default=dict)  # the resolved training config
    scores = models.JSONField(default=dict)  # filled once, by the evaluation

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="one_number_per_model")
        ]

    def __str__(self) -> str:
        return f"{self.model} v{self.number}"


class IdempotentRequest(OrgOwned):
    """The answer to a request that carried an `Idempotency-Key`, kept for a day (see
    models_app.idempotency).
    """

    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    response = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["org", "key"], name="one_answer_per_idempotency_key")
        ]

    def __str__(self) -> str:
        return self.key
