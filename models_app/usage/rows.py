"""What was used, and how much of it an organisation may use. Django finds these rows through
models_app.models."""

from django.db import models

from accounts.models import ApiToken, Organization
from modelstation.core.tenancy import OrgOwned


class UsageRecord(OrgOwned):
    """One answer. It outlives the model and the token: what was used stays used."""

    # The name it is counted under: the slug of a customer's model, or a base.
    model = models.CharField(max_length=80)
    version = models.ForeignKey(
        "models_app.ModelVersion", on_delete=models.SET_NULL, null=True, related_name="usage"
    )
    token = models.ForeignKey(ApiToken, on_delete=models.SET_NULL, null=True, related_name="+")
    is_playground = models.BooleanField(default=False, db_default=False)  # by no token
    prompt_tokens = models.PositiveIntegerField()
    cached_tokens = models.PositiveIntegerField(default=0)  # of the prompt
    completion_tokens = models.PositiveIntegerField()
    milliseconds = models.PositiveIntegerField()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["org", "created_at"], name="usage_of_org_by_time")]

    def __str__(self) -> str:
        return f"{self.model}: {self.prompt_tokens} + {self.completion_tokens} tokens"


class UsageLimit(models.Model):
    """What an operator allows one organisation. Empty: as the settings say; 0: without limit."""

    org = models.OneToOneField(Organization, on_delete=models.CASCADE, related_name="usage_limit")
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_day = models.PositiveBigIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return f"limits of {self.org}"


class UsageCounter(models.Model):
    """How much there was in the present window (a minute, a day) of what `key` names. A new window
    begins at zero in the same row.
    """

    key = models.CharField(max_length=80, primary_key=True)
    window = models.BigIntegerField()  # the minutes or days since 1970
    count = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.key}: {self.count}"
