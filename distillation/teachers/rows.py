"""Teachers that an organisation may ask, what they were asked to do, and each request to them.

A request is kept by its number in the plan of its run: one that was answered is never sent again.
"""

from decimal import Decimal
from typing import Any, Self

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Count, Q, Sum

from accounts.models import Organization, User
from models_app.models import CustomModel, FoundationModel
from modelstation.core.encrypted import EncryptedField
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgOwned, new_id

MILLION = 1_000_000
MOST_AT_ONCE = 8  # requests
MOST_COUNTED = 2**31 - 1  # requests or tokens, as they are stored
PRICE: dict[str, Any] = {"max_digits": 12, "decimal_places": 6}


class TeacherQuerySet(models.QuerySet["Teacher"]):
    def visible_to(self, org: Organization) -> Self:
        """The organisation's own, and those that the operator lends to all."""
        return self.filter(Q(org=org) | Q(org=None, is_shared=True))


class Teacher(models.Model):
    """A large model that may write, label, rewrite or judge rows. Without an organisation it is the
    operator's, who may lend it to all."""

    class Kind(models.TextChoices):
        ENDPOINT = "endpoint", "an OpenAI-compatible endpoint"
        BASE = "base", "a base model of this installation"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    is_shared = models.BooleanField(default=False)  # of the operator's: all may use it
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.ENDPOINT)
    base_url = models.CharField(max_length=500, blank=True)
    model_name = models.CharField(max_length=200, blank=True)
    api_key = EncryptedField(blank=True, default="")
    base = models.ForeignKey(
        FoundationModel, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    # Per million tokens.
    prompt_price = models.DecimalField(default=0, validators=[MinValueValidator(0)], **PRICE)
    completion_price = models.DecimalField(default=0, validators=[MinValueValidator(0)], **PRICE)
    currency = models.CharField(max_length=3, default="USD")
    requests_per_minute = models.PositiveIntegerField(default=60)
    max_concurrent = models.PositiveSmallIntegerField(default=1)
    terms = models.TextField(blank=True)  # on the use of its outputs; stands in the dataset's card
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeacherQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["org", "name"], name="one_teacher_name_per_org", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_key(self) -> bool:
        return bool(self.api_key)

    @property
    def answers_as(self) -> str:
        """Name the model that answers."""
        return str(self.base_id) if self.kind == self.Kind.BASE else self.model_name

    def cost_of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        prompt, completion = Decimal(self.prompt_price), Decimal(self.completion_price)
        return (prompt * prompt_tokens + completion * completion_tokens) / MILLION


class TeacherRun(OrgOwned):
    """One thing a teacher was asked to do for a model. Its state is its job's."""

    class Action(models.TextChoices):
        WRITE = "write", "Write rows"
        LABEL = "label", "Label inputs"
        REWRITE = "rewrite", "Rewrite rows of a source"
        JUDGE = "judge", "Judge rows of a source"

    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="teacher_runs")
    teacher = models.ForeignKey(Teacher, on_delete=models.SET_NULL, null=True, related_name="runs")
    teacher_name = models.CharField(max_length=200)  # the model's; stays when the teacher goes
    terms = models.TextField(blank=True)
    currency = models.CharField(max_length=3, default="USD")
    job = models.OneToOneField(
        Job, on_delete=models.SET_NULL, null=True, related_name="teacher_run"
    )
    action = models.CharField(max_length=8, choices=Action.choices, default=Action.WRITE)
    rows = models.PositiveIntegerField()  # wanted
    inputs = models.JSONField(default=list, blank=True)  # to label
    given = models.ForeignKey(  # the source to rewrite or judge
        "distillation.SourceDataset", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    seed = models.PositiveIntegerField(default=0)
    max_requests = models.PositiveIntegerField()
    max_tokens = models.PositiveIntegerField()
    max_cost = models.DecimalField(null=True, **PRICE)  # without it, money is not limited
    estimate = models.JSONField(default=dict)  # teachers.estimates.Estimate
    # To finish with what was answered so far: nothing more is sent.
    is_closing = models.BooleanField(default=False)
    note = models.TextField(blank=True)  # what it waits for, or why it stopped early
    row_count = models.PositiveIntegerField(default=0)  # accepted so far
    refused = models.JSONField(default=list)  # [{"reason", "rows", "samples": [{input, output}]}]
    flags = models.JSONField(default=dict)  # {flag: rows}
    import_run = models.ForeignKey(
        "distillation.ImportRun", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    source = models.ForeignKey(  # where its rows went
        "distillation.SourceDataset", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.action} for {self.model}"

    @property
    def is_live(self) -> bool:
        return self.job is not None and bool(self.job.is_live)

    @property
    def spent(self) -> dict[str, Any]:
        """Return requests, perhaps_paid, prompt_tokens, completion_tokens and cost so far."""
        sums: dict[str, Any] = self.requests.aggregate(
            answered=Count("id", filter=Q(state=TeacherRequest.State.ANSWERED)),
            requests=Sum("attempts", default=0),
            perhaps_paid=Sum("perhaps_paid", default=0),
            prompt_tokens=Sum("prompt_tokens", default=0),
            completion_tokens=Sum("completion_tokens", default=0),
            cost=Sum("cost", default=Decimal(0)),
        )
        return sums | {"tokens": sums["prompt_tokens"] + sums["completion_tokens"]}


class TeacherRequest(models.Model):
    class State(models.TextChoices):
        SENT = "sent"
        ANSWERED = "answered"
        FAILED = "failed"  # the last try brought no answer; it is sent again
        REFUSED = "refused"  # answered, of no use, and not sent again

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(TeacherRun, on_delete=models.CASCADE, related_name="requests")
    number = models.PositiveIntegerField()  # in the plan of the run
    purpose = models.CharField(max_length=8)  # rows, outputs or verdicts
    state = models.CharField(max_length=8, choices=State.choices, default=State.SENT)
    prompt_version = models.CharField(max_length=20)
    prompt_hash = models.CharField(max_length=64)
    response = models.TextField(blank=True)
    error = models.CharField(max_length=300, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    useless = models.PositiveIntegerField(default=0)  # answers that could not be read
    perhaps_paid = models.PositiveIntegerField(default=0)  # sent, and no answer came
    # Of all attempts that were answered.
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost = models.DecimalField(default=0, **PRICE)
    sent_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="one_request_per_number")
        ]

    def __str__(self) -> str:
        return f"request {self.number} of {self.run_id}"
