"""What every push to the hub has, of a dataset or an export: where to, by whom, and its result."""

from typing import Any, ClassVar

from django.db import models

from accounts.models import User
from modelstation.core.tenancy import OrgOwned


class HubPush(OrgOwned):
    """Its state is its job's. `what` is pushed: so the audit and the refusals call it."""

    what: ClassVar[str]
    job_kind: ClassVar[str]
    repo_type: ClassVar[str]
    no_token_hint: ClassVar[str]
    job: Any  # each kind of push names its own way back from the job

    repo_id = models.CharField(max_length=200)
    is_private = models.BooleanField(default=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    # Its result; empty until it succeeded.
    url = models.URLField(max_length=400, blank=True)
    commit = models.CharField(max_length=64, blank=True)
    is_new_commit = models.BooleanField(default=False)  # False: the hub held these files already

    class Meta:
        abstract = True
        ordering = ["-created_at"]

    @property
    def is_live(self) -> bool:
        return self.job is not None and bool(self.job.is_live)

    @property
    def sealed_token(self) -> Any:
        """The token to push with; falsy where there is none."""
        return self.org.hub_token
