"""Tokens, members and the page on which the invited come in."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import access, services
from accounts.access import enter
from accounts.adapter import home_of
from accounts.forms import AccountForm, InvitationForm, RoleForm, TokenForm
from accounts.models import Invitation, Membership, Role, User


@login_required
@require_http_methods(["GET", "POST"])
def account(request: HttpRequest, org: str) -> HttpResponse:
    """Show what concerns the user alone, whatever the organisation."""
    membership = enter(request, org)
    data = request.POST if request.method == "POST" else None
    form = AccountForm(data, initial={"mail_when_built": membership.user.mail_when_built})
    if form.is_valid():
        services.choose_mails(actor=membership.user, org=membership.org, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("account", org=org)
    return render(request, "accounts/account.html", {"form": form})


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def tokens(request: HttpRequest, org: str) -> HttpResponse:
    """Show tokens. A new one's secret is in the answer to its POST and nowhere else."""
    membership = enter(request, org)
    form = TokenForm(request.POST or None)
    if request.method == "GET" or not form.is_valid():
        return _tokens_page(request, membership, form)
    name, expires_at = form.cleaned_data["name"], form.expires_at
    token, secret = services.create_token(
        actor=membership.user, org=membership.org, name=name, expires_at=expires_at
    )
    return _tokens_page(request, membership, TokenForm(), created=token, secret=secret)


@login_required
@require_POST
def token_revoke(request: HttpRequest, org: str, token_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    token = access.token_for(membership, token_id)
    services.revoke_token(actor=membership.user, token=token)
    messages.success(request, f"The token “{token.name}” was revoked.")
    return redirect("tokens", org=org)


@login_required
@require_GET
def members(request: HttpRequest, org: str) -> HttpResponse:
    membership = enter(request, org)
    form = InvitationForm(roles=access.roles_given_by(membership))
    return _members_page(request, membership, form)


@login_required
@never_cache
@require_POST
def invite(request: HttpRequest, org: str) -> HttpResponse:
    """Invite. The link is in the answer to this POST and nowhere else."""
    membership = enter(request, org, role=Role.ADMIN)
    roles = access.roles_given_by(membership)
    form = InvitationForm(request.POST, roles=roles)
    if not form.is_valid():
        return _members_page(request, membership, form)
    email, role = form.cleaned_data["email"], Role(form.cleaned_data["role"])
    invitation, secret = services.invite(
        actor=membership.user, org=membership.org, email=email, role=role
    )
    link = request.build_absolute_uri(reverse("invitation_accept", args=[org, secret]))
    form = InvitationForm(roles=roles)
    return _members_page(request, membership, form, invited=invitation, link=link)


@login_required
@require_POST
def member_role(request: HttpRequest, org: str, membership_id: int) -> HttpResponse:
    manager = enter(request, org, role=Role.ADMIN)
    membership = access.membership_for(manager.org, membership_id)
    form = RoleForm(request.POST)
    if form.is_valid():
        role = Role(form.cleaned_data["role"])
        services.change_role(actor=manager.user, membership=membership, role=role)
        messages.success(request, f"{membership.user} is now {role.label.lower()}.")
    return redirect("members", org=org)


@login_required
@require_POST
def member_remove(request: HttpRequest, org: str, membership_id: int) -> HttpResponse:
    own = enter(request, org)
    membership = access.membership_for(own.org, membership_id)
    services.remove_member(actor=own.user, membership=membership)
    if membership == own:
        messages.success(request, f"You left {own.org}.")
        return redirect(home_of(own.user))
    messages.success(request, f"{membership.user} was removed.")
    return redirect("members", org=org)


@login_required
@require_POST
def invitation_withdraw(request: HttpRequest, org: str, invitation_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    invitation = access.invitation_for(membership.org, invitation_id)
    services.withdraw_invitation(actor=membership.user, invitation=invitation)
    messages.success(request, f"The invitation of {invitation.email} was withdrawn.")
    return redirect("members", org=org)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def invitation_accept(request: HttpRequest, org: str, secret: str) -> HttpResponse:
    """Let somebody in who is no member yet: the secret of the link is the key."""
    assert isinstance(request.user, User)
    invitation = access.invitation_by_secret(org, secret)
    if request.method == "POST":
        services.accept_invitation(actor=request.user, invitation=invitation)
        messages.success(request, f"Welcome to {invitation.org}.")
        return redirect("dashboard", org=org)
    services.check_acceptable(request.user, invitation)
    return render(request, "accounts/invitation.html", {"invitation": invitation})


def _tokens_page(
    request: HttpRequest, membership: Membership, form: TokenForm, **created: object
) -> HttpResponse:
    context = {
        "tokens": access.tokens_seen_by(membership),
        "manages": access.manages(membership),
        "form": form,
        **created,
    }
    return render(request, "accounts/tokens.html", context)


def _members_page(
    request: HttpRequest, membership: Membership, form: InvitationForm, **created: object
) -> HttpResponse:
    manages = access.manages(membership)
    # Those that have expired included: they can be withdrawn or replaced.
    open_ones = Invitation.objects.for_org(membership.org).filter(accepted_at=None)
    context = {
        "memberships": Membership.objects.filter(org=membership.org).select_related("user"),
        "invitations": open_ones if manages else [],
        "manages": manages,
        "roles": access.roles_given_by(membership),
        "form": form,
        **created,
    }
    return render(request, "accounts/members.html", context)
