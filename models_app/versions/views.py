"""Actions of a model's page that move what is live."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.access import org_for
from accounts.models import Role, User
from models_app.access import model_for, version_for
from models_app.versions import promotions


@login_required
@require_POST
def version_publish(request: HttpRequest, org: str, version_id: uuid.UUID) -> HttpResponse:
    """With a `reason` it is published against its evaluation: for owners and admins."""
    reason = request.POST.get("reason", "").strip()
    owner = org_for(request, org, role=Role.ADMIN if reason else Role.MEMBER)
    version = version_for(owner, version_id)
    promotions.publish_version(actor=_user(request), version=version, override_reason=reason)
    messages.success(request, f"Version {version.number} is live now.")
    return redirect("model", org, version.model_id)


@login_required
@require_POST
def model_rollback(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    version = promotions.roll_back(actor=_user(request), model=model)
    messages.success(request, f"Version {version.number} is live again.")
    return redirect("model", org, model.id)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # every view here asks for a login
    return request.user
