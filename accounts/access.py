"""Access to an organisation, shared by pages and API: a stranger gets 404, a weak role 403."""

import uuid

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404

from accounts.models import ApiToken, Invitation, Membership, Organization, Role, User
from accounts.tokens import digest_of


def membership_of(user: User, slug: str, *, role: Role = Role.MEMBER) -> Membership:
    members = Membership.objects.select_related("org", "user").filter(org__slug=slug)
    membership = members.filter(user_id=user.pk).first()
    if membership is None or not user.is_active:
        raise Http404("No such organisation.")
    if not Role(membership.role).covers(role):
        raise PermissionDenied(f"This needs the role “{role.label}” in {membership.org}.")
    return membership


def enter(request: HttpRequest, slug: str, *, role: Role = Role.MEMBER) -> Membership:
    """Return the membership by which a page is seen; set `request.org` and `request.membership`."""
    assert isinstance(request.user, User)
    membership = membership_of(request.user, slug, role=role)
    request.org = membership.org  # type: ignore[attr-defined]
    request.membership = membership  # type: ignore[attr-defined]
    return membership


def org_for(request: HttpRequest, slug: str, *, role: Role = Role.MEMBER) -> Organization:
    """Return the organisation of a page, for views that need no more than that."""
    return enter(request, slug, role=role).org


def membership_for(org: Organization, membership_id: int) -> Membership:
    return get_object_or_404(
        Membership.objects.select_related("user", "org"), org=org, id=membership_id
    )


def invitation_for(org: Organization, invitation_id: uuid.UUID) -> Invitation:
    return get_object_or_404(Invitation, org=org, id=invitation_id)


def invitation_by_secret(slug: str, secret: str) -> Invitation:
    """Return it for the secret of its link: the invited are no members yet."""
    invitations = Invitation.objects.select_related("org")
    found: Invitation = get_object_or_404(invitations, org__slug=slug, digest=digest_of(secret))
    return found


def tokens_seen_by(membership: Membership) -> QuerySet[ApiToken]:
    """One's own; those of everybody for who manages the organisation."""
    tokens: QuerySet[ApiToken] = ApiToken.objects.for_org(membership.org).select_related("user")
    return tokens if manages(membership) else tokens.filter(user=membership.user_id)


def token_for(membership: Membership, token_id: uuid.UUID) -> ApiToken:
    token: ApiToken = get_object_or_404(ApiToken, org=membership.org, id=token_id)
    if token.user_id != membership.user_id and not manages(membership):
        raise PermissionDenied("This token is somebody else's.")
    return token


def manages(membership: Membership) -> bool:
    return Role(membership.role).covers(Role.ADMIN)


def roles_given_by(membership: Membership) -> list[Role]:
    """Return the roles that one may hand out: one's own and those below it."""
    return [role for role in Role if Role(membership.role).covers(role)]
