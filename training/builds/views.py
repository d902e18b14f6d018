"""Pages that create a model, and start or end its builds."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import org_for
from accounts.models import Organization, User
from distillation.access import dataset_for, source_for
from distillation.corpus.gallery import purpose_of
from distillation.model_data.forms import OwnRowsForm
from distillation.models import SourceDataset
from models_app.access import model_for
from models_app.forms import ModelDraftForm, RequirementForm, add_refusal
from modelstation.core.errors import UserFacingError
from training.builds import services


@login_required
@require_http_methods(["GET", "POST"])
def model_new(request: HttpRequest, org: str) -> HttpResponse:
    owner = org_for(request, org)
    source = _source_of_draft(request, owner)
    sources = [source] if source else []
    initial = purpose_of(source).draft() if source else {}
    form = ModelDraftForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        model = services.create_model(
            actor=_user(request), org=owner, draft=form.draft, sources=sources
        )
        return redirect("model", owner.slug, model.id)
    context = {"form": form, "rows_form": OwnRowsForm(), "sources": sources}
    return render(request, "models_app/model_new.html", context)


def _source_of_draft(request: HttpRequest, org: Organization) -> SourceDataset | None:
    """Return the source that the model is to begin from, where a card or its page asks for it."""
    try:
        wanted = uuid.UUID(request.GET.get("source", ""))
    except ValueError:
        return None
    return source_for(org, wanted)


@login_required
@require_http_methods(["GET", "POST"])
def model_edit(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Edit name, requirement and examples of a model that has no version yet."""
    model = model_for(org_for(request, org), model_id)
    form = RequirementForm(request.POST or None, initial=RequirementForm.initial_of(model))
    if request.method == "POST" and form.is_valid():
        try:
            services.edit_draft(actor=_user(request), model=model, changes=form.cleaned_data)
            messages.success(request, "Saved. The next build goes by it.")
            return redirect("model_data", org, model.id)
        except UserFacingError as error:
            add_refusal(form, error)
    return render(request, "models_app/model_edit.html", {"model": model, "form": form})


@login_required
@require_POST
def model_delete(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    services.delete_model(actor=_user(request), model=model)
    messages.success(request, f"“{model.name}” is deleted.")
    return redirect("models", org)


@login_required
@require_POST
def model_cancel(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    if not services.cancel_build(actor=_user(request), model=model):
        messages.info(request, "There was nothing left to cancel.")
    return redirect("model", org, model.id)


@login_required
@require_POST
def model_rebuild(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    services.rebuild(actor=_user(request), model=model)
    return redirect("model", org, model.id)


@login_required
@require_POST
def model_copy(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    copy = services.copy_model(actor=_user(request), model=model)
    messages.success(request, "This is the copy. Change what you like, then build it.")
    return redirect("model", org, copy.id)


@login_required
@require_POST
def dataset_freeze(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    """Come back to the page of the dataset with a message where it is refused."""
    version = dataset_for(org_for(request, org), dataset_id)
    try:
        frozen = services.freeze_and_train(actor=_user(request), version=version)
    except UserFacingError as error:
        messages.error(request, error.text)
        return redirect("dataset", org, version.id)
    rows = f"{frozen.row_count:,} rows"
    messages.success(request, f"Dataset {frozen.number} is frozen with {rows}. Training begins.")
    return redirect("model", org, version.model_id)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # every view here asks for a login
    return request.user
