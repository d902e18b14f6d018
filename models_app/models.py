"""WHAT: base models, the customers' models and their versions, and what was used."""

from django.db import models

from accounts.models import User
from models_app.gateway.stored.rows import StoredCompletion as StoredCompletion
from models_app.usage.rows import UsageCounter as UsageCounter
from models_app.usage.rows import UsageLimit as UsageLimit
from models_app.usage.rows import UsageRecord as UsageRecord
from models_app.webhooks.rows import WebhookDelivery as WebhookDelivery
from models_app.webhooks.rows import WebhookEndpoint as WebhookEndpoint
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgOwned

MIN_ROWS, DEFAULT_ROWS, MAX_ROWS = 20, 1000, 100_000  # of a dataset, as a user may ask for


class FoundationModel(models.Model):
    """A base to start from. Rows mirror modelstation.lm.bases.catalog: models point at them."""

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
    """One wish to have a base, which is everybody's once it is there; its state is its job's."""

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
        DRAFT = "draft"  # a copy that nobody has built yet; its contract is open
        PENDING = "pending"
        DISTILLING = "distilling"
        REVIEW = "review"
        TRAINING = "training"
        EVALUATING = "evaluating"
        READY = "ready"
        # Built and measured: a criterion was missed, or the test rows could not settle one.
        NOT_PASSED = "not_passed", "Built, not passed"
        UNDECIDED = "undecided", "Built, undecided"
        NEEDS_DATA = "needs_data"  # too few rows were found; nothing was trained
        FAILED = "failed"  # the build broke
        CANCELLED = "cancelled"

    class Curation(models.TextChoices):
        AUTO = "auto"  # a dataset is frozen and trained on as soon as it is selected
        REVIEW = "review"  # it waits, as a draft, for a person to freeze it

    class Student(models.TextChoices):
        AUTO = "auto"  # the encoder where answers are labels, else the generator
        GENERATOR = "generator"  # the base, tuned to write answers
        ENCODER = "encoder"  # a frozen sentence encoder with a layer that tells labels apart

    class DoubtfulRows(models.TextChoices):
        LEAVE_OUT = "leave_out", "Leave them out"
        REPAIR = "repair", "Give them the label of the rows like them"
        KEEP = "keep", "Keep them as they are"

    BUILT_NOT_LET = (Status.NOT_PASSED, Status.UNDECIDED)
    LIVE_STATUSES = (Status.PENDING, Status.DISTILLING, Status.TRAINING, Status.EVALUATING)

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=80)
    requirement = models.TextField()
    objective = models.TextField(blank=True)
    policy = models.TextField(blank=True)
    examples = models.JSONField(default=list, blank=True)  # [{"input", "output"}]
    # [{"input", "output"}], held out; empty: the frozen split
    test_rows = models.JSONField(default=list, blank=True)
    success_criteria = models.JSONField(default=list, blank=True)  # sentences
    metric = models.CharField(max_length=40, blank=True)  # empty: chosen from the kind of task
    # The criteria, compiled to checks: see models_app.contract.services. Once it is frozen,
    # criteria, metric and test_rows stay as they are.
    contract = models.JSONField(default=dict, blank=True)
    contract_frozen_at = models.DateTimeField(null=True, blank=True)
    # Empty until compiled from the requirement, then editable.
    system_prompt = models.TextField(blank=True)
    base = models.ForeignKey(FoundationModel, on_delete=models.PROTECT, related_name="+")
    rows = models.PositiveIntegerField(default=DEFAULT_ROWS)  # requested for the dataset
    # Whether a build looks for rows in all sources, or takes those chosen for the model alone.
    search_corpus = models.BooleanField(default=True)
    # What a build does with rows whose label is likely wrong: see distillation.pipeline.doubtful.
    doubtful_rows = models.CharField(
        max_length=10, choices=DoubtfulRows.choices, default=DoubtfulRows.LEAVE_OUT
    )
    # Corrections of what was understood: see distillation.pipeline.types.IntentEdits.
    intent_edits = models.JSONField(default=dict, blank=True)
    curation = models.CharField(max_length=10, choices=Curation.choices, default=Curation.AUTO)
    student = models.CharField(
        max_length=10, choices=Student.choices, default=Student.GENERATOR
    )  # what the next build trains
    training_config = models.JSONField(default=dict, blank=True)  # as requested; empty: automatic
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.PENDING)
    status_reason = models.TextField(blank=True)
    live_version = models.ForeignKey(
        "ModelVersion", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    # Who started the build that goes on or was the last: they are notified how it ends.
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

    @property
    def contract_digest(self) -> str:
        return str(self.contract.get("digest", ""))


class ModelVersion(OrgOwned):
    """One trained result: an immutable folder of artifacts."""

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
    artifacts = models.JSONField(default=dict)  # {"adapter": manifest, "merged": …, "gguf": …}
    config = models.JSONField(default=dict)  # the resolved training config
    scores = models.JSONField(default=dict)  # of its newest evaluation
    contract_digest = models.CharField(max_length=64, blank=True)  # of what it was judged by

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="one_number_per_model")
        ]

    def __str__(self) -> str:
        return f"{self.model} v{self.number}"


class Promotion(OrgOwned):
    """What was made live, when and by whom. Append-only: rolling back is one more row."""

    class Kind(models.TextChoices):
        PROMOTE = "promote"
        ROLLBACK = "rollback"

    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="promotions")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="promotions")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PROMOTE)
    # Nobody: it was promoted by its evaluation.
    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    verdict = models.CharField(max_length=20, blank=True)  # of its newest evaluation, at that time
    override_reason = models.TextField(blank=True)  # why it went live against its evaluation
    evaluation_id = models.UUIDField(null=True, blank=True)  # training stands above this room

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["model", "-created_at"], name="newest_promotion")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.version}"


class IdempotentRequest(OrgOwned):
    """The answer to a request that carried an `Idempotency-Key`, kept for a day."""

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
