"""Settings of an organisation: which licences its datasets may hold, and its token of the hub."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from accounts import services
from accounts.access import enter, manages
from accounts.forms import HubTokenForm, LicensePolicyForm
from accounts.models import Membership, Role
from distillation.organization.licensing import license_policy_of, license_shares
from distillation.pipeline.licenses import LicensePolicy
from models_app.gateway.stored.services import MOST_DAYS, delete_all_stored, set_storing
from modelstation.core.errors import UserFacingError


class StoringForm(forms.Form):
    store_completions = forms.BooleanField(
        required=False, label="Store answers where a request says store: true"
    )
    stored_days = forms.IntegerField(
        min_value=1, max_value=MOST_DAYS, label="Days that they are kept"
    )


@login_required
@require_GET
def org_settings(request: HttpRequest, org: str) -> HttpResponse:
    return _page(request, enter(request, org))


@login_required
@require_GET
def license_preview(request: HttpRequest, org: str) -> HttpResponse:
    """Show what the policy in the form would let in, before it is saved."""
    membership = enter(request, org)
    form = LicensePolicyForm(request.GET)
    stored = license_policy_of(membership.org)
    policy = form.policy(LicensePolicy) if form.is_valid() else stored
    return render(request, "distillation/_licenses.html", _licenses(membership, policy))


@login_required
@require_POST
def license_policy(request: HttpRequest, org: str) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    form = LicensePolicyForm(request.POST)
    if not form.is_valid():
        return _page(request, membership, policy_form=form)
    try:
        services.change_license_policy(
            actor=membership.user, org=membership.org, **form.cleaned_data
        )
    except UserFacingError as error:
        form.add_error(None, error.text)
        return _page(request, membership, policy_form=form)
    messages.success(request, "The licence policy holds for every dataset from now on.")
    return redirect("org_settings", org=org)


@sensitive_post_parameters("token")
@login_required
@never_cache
@require_POST
def hub_token(request: HttpRequest, org: str) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    form = HubTokenForm(request.POST)
    if form.is_valid():
        try:
            services.set_hub_token(
                actor=membership.user, org=membership.org, token=form.cleaned_data["token"]
            )
        except UserFacingError as error:
            form.add_error("token", error.text)
    if form.errors:
        return _page(request, membership, token_form=form)
    messages.success(request, "The token was stored, encrypted. It cannot be shown again.")
    return redirect("org_settings", org=org)


@login_required
@require_POST
def hub_token_clear(request: HttpRequest, org: str) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    services.clear_hub_token(actor=membership.user, org=membership.org)
    messages.success(request, "The token was removed from this installation.")
    return redirect("org_settings", org=org)


@login_required
@require_POST
def storing(request: HttpRequest, org: str) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    form = StoringForm(request.POST)
    if not form.is_valid():
        return _page(request, membership, storing_form=form)
    said = form.cleaned_data
    set_storing(
        actor=membership.user,
        org=membership.org,
        allowed=said["store_completions"],
        days=said["stored_days"],
    )
    messages.success(request, "Saved.")
    return redirect("org_settings", org=org)


@login_required
@require_POST
def storing_delete(request: HttpRequest, org: str) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    deleted = delete_all_stored(actor=membership.user, org=membership.org)
    messages.success(request, f"{deleted:,} stored answers were deleted.")
    return redirect("org_settings", org=org)


@login_required
@require_POST
def hub_search_policy(request: HttpRequest, org: str) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    allowed = request.POST.get("allow_hub_search") == "on"
    services.set_hub_search(actor=membership.user, org=membership.org, allowed=allowed)
    messages.success(request, "Saved.")
    return redirect("org_settings", org=org)


# --- helpers --------------------------------------------------------------------------------------


def _page(
    request: HttpRequest,
    membership: Membership,
    policy_form: LicensePolicyForm | None = None,
    token_form: HubTokenForm | None = None,
    storing_form: StoringForm | None = None,
) -> HttpResponse:
    org = membership.org
    stored = {"kind": org.license_policy, "allow_unknown": org.allow_unknown_license}
    form = policy_form or LicensePolicyForm(initial=stored)
    is_filled = form.is_bound and "kind" in form.cleaned_data
    policy = form.policy(LicensePolicy) if is_filled else license_policy_of(org)
    context = {
        "form": form,
        "token_form": token_form or HubTokenForm(),
        "storing_form": storing_form or StoringForm(initial=vars(org)),
        "hub_search": settings.HUB_SEARCH,
        **_licenses(membership, policy),
    }
    return render(request, "distillation/settings.html", context)


def _licenses(membership: Membership, policy: LicensePolicy) -> dict[str, Any]:
    """Licences of the rows in sight, then those that the policy names and no row has."""
    shares = license_shares(membership.org, policy)
    present = {share.license.casefold() for share in shares}
    return {
        "manages": manages(membership),
        "shares": shares,
        "named": {name.casefold() for name in policy.names},
        "absent": [name for name in policy.names if name.casefold() not in present],
        "allowed_rows": sum(share.rows for share in shares if share.allowed),
        "all_rows": sum(share.rows for share in shares),
    }
