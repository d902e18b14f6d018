"""Where allauth's flows meet our organisations: a log-in leads into one."""

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.shortcuts import resolve_url

from accounts.models import Organization, User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return home_of(request.user)

    get_signup_redirect_url = get_login_redirect_url


def home_of(user: User | AnonymousUser) -> str:
    """Return the dashboard of the organisation that the user joined first."""
    joined = Organization.objects.filter(memberships__user=user.pk)
    first = joined.order_by("memberships__created_at").first()
    return resolve_url("dashboard", org=first.slug) if first else resolve_url("home")
