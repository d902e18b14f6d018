"""Which stored answers became rows. Django finds these rows through distillation.models."""

from django.db import models

from accounts.models import User
from models_app.models import CustomModel
from modelstation.core.tenancy import OrgOwned


class LogUse(OrgOwned):
    """Which answers of a model become rows of its data. How far it is stands on its run."""

    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="log_uses")
    run = models.OneToOneField(
        "distillation.ImportRun", on_delete=models.CASCADE, related_name="log_use"
    )
    chosen = models.JSONField(default=dict)  # logs.services.LogFilter
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"stored answers of {self.model}"
