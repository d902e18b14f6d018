"""The page of a training's plan: each setting with its reason, what it will cost, the start."""

import uuid
from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import org_for
from accounts.models import User
from models_app.access import model_for
from models_app.models import CustomModel
from modelstation.core.errors import UserFacingError
from training.builds.services import train_again
from training.plan.forms import PlanForm, rows
from training.plan.services import Plan, dataset_of, dataset_or_draft, plan_for
from training.runs import services


@login_required
@require_GET
def training_plan(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """With settings in the query, what they would cost; htmx gets the estimate alone."""
    model = model_for(org_for(request, org), model_id)
    is_estimate = bool(request.GET.keys() & PlanForm().fields.keys())
    form = PlanForm(request.GET if is_estimate else model.training_config)
    return _shown(request, model, form)


@login_required
@require_POST
def training_plan_save(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    form = PlanForm(request.POST)
    if form.is_valid() and _done(form, services.save_plan, request, model):
        messages.success(request, "Saved. The next build trains with these settings.")
        return redirect("training_plan", org, model.id)
    return _shown(request, model, form)


@login_required
@require_POST
def training_plan_start(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    form = PlanForm(request.POST)
    if form.is_valid() and _done(form, train_again, request, model):
        messages.success(request, "Training is queued with these settings.")
        return redirect("model", org, model.id)
    return _shown(request, model, form)


def _done(
    form: PlanForm, action: Callable[..., object], request: HttpRequest, model: CustomModel
) -> bool:
    """Do the action; return False, with the reason on the form, when it was refused."""
    assert isinstance(request.user, User)
    try:
        action(actor=request.user, model=model, requested=form.requested)
    except UserFacingError as error:
        form.add_error(None, error.text)
        return False
    return True


def _shown(request: HttpRequest, model: CustomModel, form: PlanForm) -> HttpResponse:
    plan, dataset = _plan(model, form), dataset_of(model)
    draft = model.dataset_versions.drafts().first()
    context = {"model": model, "form": form, "plan": plan, "draft": draft, "dataset": dataset}
    context |= rows(form, plan.resolved if plan else {}, plan.reasons if plan else {})
    template = "_plan" if request.htmx else "plan"  # type: ignore[attr-defined]
    return render(request, f"training/{template}.html", context)


def _plan(model: CustomModel, form: PlanForm) -> Plan | None:
    """Of the newest frozen dataset, else of the draft, else of the rows requested; None where the
    form itself has something wrong.
    """
    form.is_valid()
    if any(name != "__all__" for name in form.errors):
        return None
    return plan_for(model, form.requested, dataset=dataset_or_draft(model))
