"""Pages of the hub for one model: what a search found, and imports of it."""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import enter, org_for
from distillation.hub import services as hub
from distillation.hub.candidates import Candidate
from distillation.hub.forms import HubImportForm
from models_app.access import model_for
from models_app.models import CustomModel
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.health import problems

SHOWN_IMPORTS = 10


@login_required
@require_GET
def model_hub(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    template = "_hub.html" if request.htmx else "hub.html"  # type: ignore[attr-defined]
    return render(request, f"distillation/{template}", _context(model))


@login_required
@require_POST
def model_hub_search(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    try:
        hub.submit_search(actor=membership.user, model=model)
    except UserFacingError as error:
        messages.error(request, error.text)
    return redirect("model_hub", org, model_id)


@login_required
@require_POST
def model_hub_import(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    form = HubImportForm(request.POST)
    try:
        plan = form.plan()
        wanted = {name: form.cleaned_data[name] for name in ("repo_id", "revision")}
        hub_import = hub.submit_import(actor=membership.user, model=model, plan=plan, **wanted)
    except UserFacingError as error:
        messages.error(request, error.text)
        return redirect("model_hub", org, model_id)
    return redirect("import", org, hub_import.run_id)


def _context(model: CustomModel) -> dict[str, Any]:
    search = model.hub_searches.select_related("job").first()
    candidates = [Candidate.from_json(stored) for stored in search.candidates] if search else []
    job = search.job if search else None
    try:
        hub.must_be_open(model.org)
        closed = None
    except UserFacingError as error:
        closed = error
    return {
        "model": model,
        "search": search,
        "job": job,
        "is_live": job is not None and job.is_live,
        "problems": problems(["distil"]) if job is not None and job.is_live else [],
        "candidates": [each for each in candidates if each.can_be_imported],
        "refused": [each for each in candidates if not each.can_be_imported],
        "imports": model.hub_imports.select_related("run")[:SHOWN_IMPORTS],
        "closed": closed,
    }
