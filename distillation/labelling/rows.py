"""Inputs that people of an organisation label for one model, and what was said of each."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F

from accounts.models import User
from models_app.models import CustomModel
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgOwned, OrgQuerySet

DEFAULT_LEVEL = 0.10


class LabellingQuerySet(OrgQuerySet):
    def storing(self, model: CustomModel) -> Any:
        """Return the labelling of the model while its rows are being stored, or wait to be."""
        return self.filter(model=model, wants_rows=True, job__state__in=Job.LIVE_STATES)


class Labelling(OrgOwned):
    """The labelling of a model's inputs: what was read of them, and what the head is worth."""

    model = models.OneToOneField(CustomModel, on_delete=models.CASCADE, related_name="labelling")
    job = models.OneToOneField(
        Job, on_delete=models.SET_NULL, null=True, blank=True, related_name="labelling"
    )  # the newest
    inputs_duplicate = models.PositiveIntegerField(default=0)
    inputs_blank = models.PositiveIntegerField(default=0)
    inputs_too_long = models.PositiveIntegerField(default=0)
    # Of the newest head: {"decided", "accuracy", "taken", "error", "left_out", "reason"}
    estimate = models.JSONField(default=dict, blank=True)
    level = models.FloatField(default=DEFAULT_LEVEL)  # of errors among what is taken over
    wants_rows = models.BooleanField(default=False)  # until the job has stored them
    wanted_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    # What the last taking over stored.
    source = models.ForeignKey(
        "distillation.SourceDataset", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    stored_at = models.DateTimeField(null=True, blank=True)
    stored_answered = models.PositiveIntegerField(default=0)
    stored_taken = models.PositiveIntegerField(default=0)
    error_text = models.TextField(blank=True)

    objects: ClassVar[Any] = LabellingQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"labelling for {self.model}"

    @property
    def is_busy(self) -> bool:
        return self.job is not None and bool(self.job.is_live)


class ModelInputQuerySet(OrgQuerySet):
    def inputs(self) -> Any:
        """What people brought: not what the head begins with."""
        return self.exclude(state=ModelInput.State.SEED)

    def open(self) -> Any:
        """Wait for an answer, those to ask first before those that have no rank."""
        waiting = self.filter(state=ModelInput.State.OPEN)
        return waiting.order_by(F("rank").asc(nulls_last=True), "position")

    def answered(self) -> Any:
        return self.filter(state=ModelInput.State.ANSWERED)


class ModelInput(OrgOwned):
    """One input, with its vector: a web process proposes answers without loading an encoder."""

    class State(models.TextChoices):
        OPEN = "open"
        ANSWERED = "answered"
        SKIPPED = "skipped"
        UNUSABLE = "unusable"
        SEED = "seed"  # the name of a label, or an example of the model: the head begins with it

    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="inputs")
    position = models.PositiveIntegerField()
    text = models.TextField()
    digest = models.CharField(max_length=64)  # of the text as it is compared
    flags = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    vector = models.BinaryField(null=True)  # float16: see `encoding`; only ever read whole
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    rank = models.PositiveIntegerField(null=True, blank=True)  # 0 is asked first
    proposal = models.TextField(blank=True)
    proposed_by = models.CharField(max_length=80, blank=True)  # empty: the head
    chance = models.FloatField(null=True, blank=True)  # that the proposal is right
    is_sure = models.BooleanField(default=False)  # its proposal would be taken over at the level
    answer = models.TextField(blank=True)
    answered_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    answered_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[Any] = ModelInputQuerySet.as_manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "digest"],
                condition=~models.Q(state="seed"),
                name="one_input_of_a_text_per_model",
            )
        ]
        indexes = [models.Index(fields=["model", "state", "rank"], name="next_input_to_label")]

    def __str__(self) -> str:
        return f"input {self.position} of {self.model_id}"
