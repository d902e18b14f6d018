"""The page of a model's data, and what is decided on it."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import enter, org_for
from accounts.models import Membership
from distillation.access import source_for
from distillation.imports import uploads
from distillation.model_data import own_rows, services
from distillation.model_data.forms import OwnRowsForm
from distillation.model_data.overview import data_overview
from distillation.model_data.ways import ways_of
from models_app.access import model_for
from models_app.models import CustomModel
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.health import silent


@login_required
@require_GET
def model_data(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    return _page(request, model, OwnRowsForm())


@require_POST
@uploads.receives_files
def model_data_rows(
    request: HttpRequest, membership: Membership, model_id: uuid.UUID
) -> HttpResponse:
    """Receive a file or a pasted table; how it is read is confirmed on the page of the import."""
    model = model_for(membership.org, model_id)
    form = OwnRowsForm(request.POST, request.FILES)
    if not form.is_valid() or not form.has_rows:
        if not form.errors:
            form.add_error("file", "Choose a file, or paste a table below.")
        return _page(request, model, form)
    try:
        run = own_rows.keep_form(
            actor=membership.user, org=membership.org, model=model, **form.cleaned_data
        )
    except UserFacingError as error:
        form.add_error("file", error.text)
        return _page(request, model, form)
    return redirect("import", membership.org.slug, run.id)


@login_required
@require_POST
def model_data_source(
    request: HttpRequest, org: str, model_id: uuid.UUID, source_id: uuid.UUID
) -> HttpResponse:
    """Use a source, or with `do=stop` leave it to the search again."""
    membership = enter(request, org)
    model, source = model_for(membership.org, model_id), source_for(membership.org, source_id)
    if request.POST.get("do") == "stop":
        services.stop_using(actor=membership.user, model=model, source=source)
        messages.success(request, f"“{source.name}” is not used by choice any more.")
    else:
        services.use_source(actor=membership.user, model=model, source=source)
        messages.success(request, f"The next build uses the rows of “{source.name}”.")
    return redirect("model_data", org, model.id)


@login_required
@require_POST
def model_data_corpus(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    is_on = request.POST.get("search_corpus") == "on"
    services.set_search_corpus(actor=membership.user, model=model, search_corpus=is_on)
    messages.success(
        request,
        "The next build looks for rows in all sources."
        if is_on
        else "The next build takes rows of the chosen sources alone.",
    )
    return redirect("model_data", org, model.id)


@login_required
@require_POST
def model_data_doubtful(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Set what the next build does with rows whose label is likely wrong."""
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    do = request.POST.get("doubtful_rows", "")
    try:
        services.set_doubtful_rows(actor=membership.user, model=model, doubtful_rows=do)
    except UserFacingError as error:
        messages.error(request, f"{error.message} {error.hint}")
    else:
        messages.success(request, "Saved. It counts from the next build on.")
    return redirect("model_data", org, model.id)


def _page(request: HttpRequest, model: CustomModel, form: OwnRowsForm) -> HttpResponse:
    context = {
        "model": model,
        "data": data_overview(model),
        "ways": ways_of(model),
        "may_edit": not model.is_live_work and not model.versions.exists(),
        "form": form,
        "problems": silent(["distil"]) if model.status == CustomModel.Status.PENDING else [],
    }
    return render(request, "distillation/model_data.html", context)
