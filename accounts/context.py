"""What every page knows: the organisation it belongs to, and all those of its user."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Organization


def organization(request: HttpRequest) -> dict[str, Any]:
    return {
        "org": getattr(request, "org", None),
        "membership": getattr(request, "membership", None),
        "my_orgs": SimpleLazyObject(lambda: _organizations_of(request)),
    }


def _organizations_of(request: HttpRequest) -> list[Organization]:
    if not request.user.is_authenticated:
        return []
    return list(Organization.objects.filter(memberships__user=request.user))
