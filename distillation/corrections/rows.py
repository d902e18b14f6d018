"""Corrections: what people say a model should have answered."""

from django.db import models

from accounts.models import User
from distillation.limits import REASON_CHARS
from models_app.models import CustomModel, ModelVersion
from modelstation.core.tenancy import OrgOwned


class CandidateRow(OrgOwned):
    """What a person says a model should have answered: a row of its next datasets, once accepted.
    One that was in a frozen dataset stays in those that follow.
    """

    class State(models.TextChoices):
        NEW = "new"
        ACCEPTED = "accepted"
        USED = "used"  # a frozen dataset holds it
        DISMISSED = "dismissed"

    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="candidate_rows")
    version = models.ForeignKey(
        ModelVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    version_number = models.PositiveIntegerField()  # stays, should the version be deleted
    system_prompt = models.TextField(blank=True)  # under which it answered
    input = models.TextField()
    wrong_answer = models.TextField(blank=True)
    correction = models.TextField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.NEW)
    # Why the last build left it out.
    refusal = models.CharField(max_length=REASON_CHARS, blank=True)
    dataset = models.ForeignKey(
        "distillation.DatasetVersion",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )  # the last frozen one that holds it
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    decided_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["model", "-created_at"])]

    def __str__(self) -> str:
        return f"correction of {self.model} v{self.version_number}"
