"""Answers that a request wanted kept (`store: true`). Django finds these rows through
models_app.models."""

from django.db import models

from modelstation.core.tenancy import OrgOwned

ID_CHARS = 48
NAME_CHARS = 200


class StoredCompletion(OrgOwned):
    """One request and its answers, until its organisation deletes it or its days are over."""

    completion_id = models.CharField(max_length=ID_CHARS, unique=True)  # chatcmpl-…
    name = models.CharField(max_length=NAME_CHARS)  # of the model, as it was requested
    model = models.ForeignKey(
        "models_app.CustomModel", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    version = models.ForeignKey(
        "models_app.ModelVersion", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    messages = models.JSONField()  # as the model got them, its system prompt included
    choices = models.JSONField()  # as OpenAI's clients read them
    usage = models.JSONField()
    parameters = models.JSONField(default=dict)  # temperature and the like
    metadata = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["org", "-created_at"], name="stored_of_org_by_time"),
            models.Index(fields=["model", "-created_at"], name="stored_of_model_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.completion_id}"

    @property
    def question(self) -> str:
        said = [turn["content"] for turn in self.messages if turn["role"] == "user"]
        return str(said[-1]) if said else ""

    @property
    def answer(self) -> str:
        return str(self.choices[0]["message"]["content"]) if self.choices else ""
