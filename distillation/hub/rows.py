"""Searches of the hub for a model's data, and what was imported from it. Django finds these rows
through distillation.models."""

from django.db import models

from accounts.models import User
from distillation.limits import NAME_CHARS, ORIGIN_CHARS
from models_app.models import CustomModel
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgOwned


class HubSearch(OrgOwned):
    """What a job found: data sets of the hub, the one whose rows fit best first."""

    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="hub_searches")
    job = models.OneToOneField(Job, on_delete=models.SET_NULL, null=True, related_name="hub_search")
    queries = models.JSONField(default=list)  # what the hub was asked
    candidates = models.JSONField(default=list)  # hub.candidates.Candidate
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "hub searches"

    def __str__(self) -> str:
        return f"search of the hub for {self.model}"


class HubImport(OrgOwned):
    """Rows of one data set at one revision, for a model. How far it is stands on its run."""

    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="hub_imports")
    run = models.OneToOneField(
        "distillation.ImportRun", on_delete=models.CASCADE, related_name="hub_import"
    )
    repo_id = models.CharField(max_length=ORIGIN_CHARS)
    revision = models.CharField(max_length=64)
    license = models.CharField(max_length=NAME_CHARS)
    plan = models.JSONField(default=dict)  # hub.candidates.Plan
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.repo_id} at {self.revision[:12]}"
