"""What belongs to an organisation, and the one way to ask for it."""

import uuid
from typing import Any, Self

import uuid_utils.compat as uuid_utils
from django.db import models


def new_id() -> uuid.UUID:
    """Time-ordered ids (uuid7): they index well and cannot be guessed."""
    return uuid_utils.uuid7()


class OrgQuerySet(models.QuerySet[Any]):
    def for_org(self, org: Any) -> Self:
        return self.filter(org=org)


class OrgOwned(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    org = models.ForeignKey("accounts.Organization", on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrgQuerySet.as_manager()

    class Meta:
        abstract = True
