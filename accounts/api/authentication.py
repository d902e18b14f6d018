"""Who calls the API: a program with a token, which carries its organisation, or a browser.

Views ask `request_org(request)` for the organisation; every caller is a member of what it returns.
"""

from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import F, Q
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import tokens
from accounts.access import membership_of
from accounts.models import ApiToken, Membership, Organization, Role, User
from modelstation.core.errors import UserFacingError
from modelstation.core.lookups import Lookup

KEYWORD = "Bearer"
USED_AT_PRECISION = timedelta(minutes=1)

_TOKENS_OF_MEMBERS = Lookup(
    lambda: ApiToken.objects.filter(org__memberships__user=F("user"), digest=""),
    (
        "id", "org_id", "user_id", "expires_at", "last_used_at", "revoked_at",
        "user__id", "user__email", "user__is_active", "org__id", "org__name", "org__slug",
    ),
)  # fmt: skip


class TokenAuthentication(authentication.BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        keyword, _, secret = request.headers.get("Authorization", "").partition(" ")
        if keyword.lower() != KEYWORD.lower():
            return None
        token = token_of(secret.strip())
        # At most once a minute, so that a busy program does not turn every read into a write.
        now = timezone.now()
        if token.last_used_at is None or token.last_used_at < now - USED_AT_PRECISION:
            stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_AT_PRECISION)
            ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
        request.org = token.org  # type: ignore[attr-defined]
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return f'{KEYWORD} realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """Django's session with CSRF. The header makes an anonymous call a 401 rather than a 403."""

    def authenticate_header(self, request: Request) -> str:
        return f'{KEYWORD} realm="api"'


def token_of(secret: str) -> ApiToken:
    """Return the live token behind a secret, with its user and organisation."""
    digest = tokens.digest_of(secret) if tokens.looks_like_token(secret) else ""
    token: ApiToken | None = _TOKENS_OF_MEMBERS.first(digest)
    if token is None or not token.user.is_active:
        raise AuthenticationFailed("There is no such API token.", code="invalid_token")
    if token.revoked_at:
        raise AuthenticationFailed("This API token was revoked.", code="token_revoked")
    if not token.is_active:
        raise AuthenticationFailed("This API token has expired.", code="token_expired")
    return token


def request_user(request: Request) -> User:
    assert isinstance(request.user, User)  # every view here asks for a caller who is known
    return request.user


def request_org(request: Request, *, role: Role = Role.MEMBER) -> Organization:
    """Return the caller's organisation; 403 when they hold less than `role` in it."""
    return request_membership(request, role=role).org


def request_membership(request: Request, *, role: Role = Role.MEMBER) -> Membership:
    held: Membership | None = getattr(request, "membership", None)
    if held is None:
        held = _membership(request)
        request.membership = held  # type: ignore[attr-defined]
        request.org = held.org  # type: ignore[attr-defined]
    if not Role(held.role).covers(role):
        raise PermissionDenied(f"This needs the role “{role.label}” in {held.org}.")
    return held


def _membership(request: Request) -> Membership:
    assert isinstance(request.user, User)
    if isinstance(request.auth, ApiToken):
        return membership_of(request.user, request.auth.org.slug)
    if slug := request.headers.get("X-Organization"):
        return membership_of(request.user, slug)
    first = request.user.memberships.select_related("org").first()
    if first is None:
        hint = "Ask for an invitation to one."
        raise UserFacingError("You belong to no organisation.", code="no_organization", hint=hint)
    return first


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API token, `ms_…`."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        description = "A browser's session. The header X-Organization holds an organisation's slug."
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": description}
