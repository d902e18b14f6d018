"""Pushes of a dataset to the hub: a part of the dataset's page, and the action."""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import enter, manages
from accounts.models import Membership, Role
from distillation.access import dataset_for
from distillation.models import DatasetVersion
from distillation.pushes.forms import PushForm
from distillation.pushes.services import submit_push
from modelstation.core.errors import UserFacingError

SHOWN_PUSHES = 10


@login_required
@require_GET
def pushes(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    """Render the fragment, which polls while a push goes on."""
    membership = enter(request, org)
    version = dataset_for(membership.org, dataset_id)
    context = {"version": version, **push_context(version, membership)}
    return render(request, "distillation/_pushes.html", context)


@login_required
@require_POST
def push(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    """Let managers decide where it goes: the dataset and the token are the organisation's."""
    membership = enter(request, org, role=Role.ADMIN)
    version = dataset_for(membership.org, dataset_id)
    form = PushForm(request.POST)
    if not form.is_valid():
        raise UserFacingError("Name the repository to push to.", code="bad_repo_id")
    submit_push(actor=membership.user, dataset=version, **form.cleaned_data)
    messages.success(request, f"The dataset is on its way to {form.cleaned_data['repo_id']}.")
    return redirect("dataset", org, dataset_id)


def push_context(version: DatasetVersion, membership: Membership) -> dict[str, Any]:
    newest = list(version.pushes.select_related("job")[:SHOWN_PUSHES])
    last = newest[0].repo_id if newest else ""
    return {
        "pushes": newest,
        "is_pushing": any(push.is_live for push in newest),
        "push_form": PushForm(initial={"repo_id": last, "is_private": True}),
        "may_push": manages(membership),
    }
