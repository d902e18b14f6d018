"""The roof's own pages, which see the whole house: home, health, dashboard, model overview."""

import uuid
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from accounts.access import org_for
from accounts.models import User
from models_app.access import model_for
from models_app.models import CustomModel
from models_app.serving import client
from models_app.snippets import snippets_for
from modelstation.core.jobs import health as system
from modelstation.site.overview import dashboard_of, overview_of


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    if not isinstance(request.user, User):
        return render(request, "home.html")
    membership = request.user.memberships.select_related("org").first()
    if membership is None:
        return render(request, "home.html", {"homeless": True})
    return redirect("dashboard", membership.org.slug)


@require_GET
def health(request: HttpRequest) -> JsonResponse:
    """For load balancers: 200 when the database answers; other problems by their codes."""
    codes = [problem.code for problem in system.problems()]
    return JsonResponse({"status": "degraded" if codes else "ok", "problems": codes})


@login_required
@require_GET
def dashboard(request: HttpRequest, org: str) -> HttpResponse:
    context = vars(dashboard_of(org_for(request, org)))
    context |= {"problems": system.problems(), "server_is_up": client.health()}
    return render(request, "dashboard.html", context)


@login_required
@require_GET
def model_overview(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    return render(request, "models_app/model.html", _model_context(request, org, model_id))


@login_required
@require_GET
def model_stages(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Return the fragment that is polled; the rest of the page comes along when it changed."""
    context = _model_context(request, org, model_id)
    context["changed"] = request.GET.get("seen") != context["overview"].fingerprint
    response = render(request, "models_app/_stages.html", context)
    if context["model"].status == CustomModel.Status.NEEDS_DATA:
        # Whoever watched the build is led to what is missing, and to the ways to get it.
        response["HX-Redirect"] = reverse("model_data", args=[org, model_id])
    return response


def _model_context(request: HttpRequest, org: str, model_id: uuid.UUID) -> dict[str, Any]:
    model = model_for(org_for(request, org), model_id)
    overview, api_url = overview_of(model), request.build_absolute_uri("/v1")
    problems = system.problems(overview.queues) if model.is_live_work else []
    about = {"model": model, "overview": overview, "problems": problems}
    return about | {"api_url": api_url, "snippets": snippets_for(model, api_url)}
