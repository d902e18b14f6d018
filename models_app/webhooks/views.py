"""The pages of webhooks: members see them, admins change them."""

import uuid
from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import enter, manages
from accounts.models import Membership, Role
from models_app.access import delivery_for, webhook_for
from models_app.forms import add_refusal
from models_app.models import WebhookDelivery, WebhookEndpoint
from models_app.webhooks import services as webhooks
from models_app.webhooks.forms import WebhookChangesForm, WebhookForm
from modelstation.core.errors import UserFacingError

DELIVERIES_A_PAGE = 25
WATCHED_FOR = timedelta(minutes=2)


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def webhook_list(request: HttpRequest, org: str) -> HttpResponse:
    """List webhooks, or make one: its secret is in the answer to its POST and nowhere else."""
    is_post = request.method == "POST"
    membership = enter(request, org, role=Role.ADMIN if is_post else Role.MEMBER)
    form = WebhookForm(request.POST or None)
    if is_post and form.is_valid():
        try:
            endpoint, secret = webhooks.create_endpoint(
                actor=membership.user, org=membership.org, **form.cleaned_data
            )
            return _page(request, membership, endpoint, secret=secret)
        except UserFacingError as error:
            add_refusal(form, error)
    endpoints = WebhookEndpoint.objects.for_org(membership.org)
    context = {"endpoints": endpoints, "manages": manages(membership), "form": form}
    return render(request, "models_app/webhooks.html", context)


@login_required
@require_GET
def webhook(request: HttpRequest, org: str, webhook_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    return _page(request, membership, webhook_for(membership.org, webhook_id))


@login_required
@require_POST
def webhook_change(request: HttpRequest, org: str, webhook_id: uuid.UUID) -> HttpResponse:
    membership, endpoint = _for_admin(request, org, webhook_id)
    form = WebhookChangesForm(request.POST)
    if form.is_valid():
        try:
            changes = form.changes(endpoint)
            webhooks.change_endpoint(actor=membership.user, endpoint=endpoint, **changes)
        except UserFacingError as error:
            add_refusal(form, error)
    if form.errors:
        return _page(request, membership, webhook_for(membership.org, webhook_id), form=form)
    messages.success(request, "Saved.")
    return redirect("webhook", org, webhook_id)


@login_required
@require_POST
def webhook_delete(request: HttpRequest, org: str, webhook_id: uuid.UUID) -> HttpResponse:
    membership, endpoint = _for_admin(request, org, webhook_id)
    webhooks.delete_endpoint(actor=membership.user, endpoint=endpoint)
    messages.success(request, "The webhook was deleted.")
    return redirect("webhooks", org)


@login_required
@never_cache
@require_POST
def webhook_rotate(request: HttpRequest, org: str, webhook_id: uuid.UUID) -> HttpResponse:
    """Make a new secret, which is in the answer to this POST and nowhere else."""
    membership, endpoint = _for_admin(request, org, webhook_id)
    secret = webhooks.rotate_secret(actor=membership.user, endpoint=endpoint)
    return _page(request, membership, endpoint, secret=secret)


@login_required
@require_POST
def webhook_test(request: HttpRequest, org: str, webhook_id: uuid.UUID) -> HttpResponse:
    membership, endpoint = _for_admin(request, org, webhook_id)
    webhooks.send_test(actor=membership.user, endpoint=endpoint)
    messages.success(request, "A test is on its way; the deliveries below show how it went.")
    return redirect("webhook", org, webhook_id)


@login_required
@require_POST
def webhook_redeliver(
    request: HttpRequest, org: str, webhook_id: uuid.UUID, delivery_id: uuid.UUID
) -> HttpResponse:
    membership, endpoint = _for_admin(request, org, webhook_id)
    webhooks.redeliver(actor=membership.user, delivery=delivery_for(endpoint, delivery_id))
    messages.success(request, "It is sent once more.")
    return redirect("webhook", org, webhook_id)


def _for_admin(
    request: HttpRequest, org: str, webhook_id: uuid.UUID
) -> tuple[Membership, WebhookEndpoint]:
    membership = enter(request, org, role=Role.ADMIN)
    return membership, webhook_for(membership.org, webhook_id)


def _page(
    request: HttpRequest,
    membership: Membership,
    endpoint: WebhookEndpoint,
    *,
    form: WebhookChangesForm | None = None,
    secret: str = "",
) -> HttpResponse:
    deliveries = Paginator(endpoint.deliveries.defer("body"), DELIVERIES_A_PAGE)
    page = deliveries.get_page(request.GET.get("page"))
    stored = model_to_dict(endpoint, list(WebhookChangesForm.base_fields))
    context = {
        "endpoint": endpoint,
        "manages": manages(membership),
        "form": form or WebhookChangesForm(initial=stored),
        "secret": secret,
        "page": page,
        "is_sending": any(_is_about_to_be_sent(delivery) for delivery in page),
        "disabled_after_days": webhooks.DISABLED_AFTER.days,
    }
    return render(request, "models_app/webhook.html", context)


def _is_about_to_be_sent(delivery: WebhookDelivery) -> bool:
    """For a while: without a worker nobody should watch for ever."""
    is_new = timezone.now() - delivery.next_try_at < WATCHED_FOR
    return delivery.state == delivery.State.WAITING and not delivery.attempts and is_new
