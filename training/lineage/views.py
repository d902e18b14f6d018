"""The page of a model's lineage: one version's whole descent, each part linked and checked."""

import uuid

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import org_for
from models_app.access import model_for
from models_app.models import CustomModel
from training.lineage.services import ModelLineage, lineage_of_model, lineage_of_version


@login_required
@require_GET
def model_lineage(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """`?version=2` instead of the one that is served; `?deep=1` hashes the model's files too."""
    model = model_for(org_for(request, org), model_id)
    context = {
        "model": model,
        "lineage": _requested_lineage(request, model),
        "versions": model.versions.values_list("number", flat=True),
        "is_deep": "deep" in request.GET,
    }
    return render(request, "training/lineage.html", context)


def _requested_lineage(request: HttpRequest, model: CustomModel) -> ModelLineage:
    number, deep = request.GET.get("version", ""), "deep" in request.GET
    if not number:
        return lineage_of_model(model, deep=deep)
    is_number = number.isascii() and number.isdigit() and len(number) < 9
    versions = model.versions.select_related("base")
    version = versions.filter(number=number).first() if is_number else None
    if version is None:
        raise Http404("There is no such version.")
    return lineage_of_version(model, version, deep=deep)
