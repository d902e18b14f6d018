"""Actions of a model's page that move what is live."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.access import enter
from accounts.models import Role
from models_app.access import model_for, version_for
from models_app.versions import promotions


@login_required
@require_POST
def version_publish(request: HttpRequest, org: str, version_id: uuid.UUID) -> HttpResponse:
    """With a `reason` it is published against its evaluation: for owners and admins."""
    reason = request.POST.get("reason", "").strip()
    member = enter(request, org, role=Role.ADMIN if reason else Role.MEMBER)
    version = version_for(member.org, version_id)
    promotions.publish_version(actor=member.user, version=version, override_reason=reason)
    messages.success(request, f"Version {version.number} is live now.")
    return redirect("model", org, version.model_id)


@login_required
@require_POST
def model_rollback(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    member = enter(request, org)
    model = model_for(member.org, model_id)
    version = promotions.roll_back(actor=member.user, model=model)
    messages.success(request, f"Version {version.number} is live again.")
    return redirect("model", org, model.id)
