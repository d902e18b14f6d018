"""The doors to an organisation, shared by pages and API: a stranger gets 404, a weak role 403."""

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from accounts.models import Membership, Organization, Role, User


def membership_of(user: User, slug: str, *, role: Role = Role.MEMBER) -> Membership:
    membership = (
        Membership.objects.select_related("org").filter(user_id=user.pk, org__slug=slug).first()
        if user.is_authenticated and user.is_active
        else None
    )
    if membership is None:
        raise Http404("No such organisation.")
    if not Role(membership.role).covers(role):
        raise PermissionDenied(f"This needs the role “{role.label}” in {membership.org}.")
    return membership


def org_for(request: HttpRequest, slug: str, *, role: Role = Role.MEMBER) -> Organization:
    """The organisation of a page. Sets `request.org`, which templates and the context processor show."""
    assert isinstance(request.user, User)
    membership = membership_of(request.user, slug, role=role)
    request.org = membership.org  # type: ignore[attr-defined]
    request.membership = membership  # type: ignore[attr-defined]
    return membership.org
