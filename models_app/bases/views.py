"""The page of bases: what can be built on, and how to get what is not here yet."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import enter, manages
from accounts.models import Role
from models_app.access import fetch_for
from models_app.bases.fetching import cancel_fetch, submit_fetch
from models_app.bases.offers import offers_for


@login_required
@require_GET
def base_list(request: HttpRequest, org: str) -> HttpResponse:
    """Render the table alone for htmx, which polls while a base arrives."""
    membership = enter(request, org)
    template = "_bases.html" if request.htmx else "base_list.html"  # type: ignore[attr-defined]
    offers = offers_for(membership.org)
    is_live = any(offer.is_live for offer in offers)
    context = {"offers": offers, "is_live": is_live, "may_fetch": manages(membership)}
    return render(request, f"models_app/{template}", context)


@login_required
@require_POST
def base_fetch(request: HttpRequest, org: str, name: str) -> HttpResponse:
    """Let managers decide: it costs the installation's disk and network."""
    membership = enter(request, org, role=Role.ADMIN)
    submit_fetch(actor=membership.user, org=membership.org, name=name)
    messages.success(request, f"{name} is on its way.")
    return redirect("bases", org)


@login_required
@require_POST
def base_fetch_cancel(request: HttpRequest, org: str, fetch_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    cancel_fetch(actor=membership.user, fetch=fetch_for(membership.org, fetch_id))
    return redirect("bases", org)
