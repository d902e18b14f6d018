"""Which sources the people of a model chose for it."""

from django.db import models

from accounts.models import User
from models_app.models import CustomModel
from modelstation.core.tenancy import OrgOwned


class ModelSource(OrgOwned):
    """A source whose rows a model uses however near they are: a person decided it.

    The ordinary filters (licence, language, form, leakage, duplicates) hold for them as for all.
    """

    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="model_sources")
    source = models.ForeignKey(
        "distillation.SourceDataset", on_delete=models.CASCADE, related_name="model_sources"
    )
    added_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["model", "source"], name="one_use_of_a_source")
        ]

    def __str__(self) -> str:
        return f"{self.source} for {self.model}"
