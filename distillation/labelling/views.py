"""Pages on which people label their own inputs, the most useful ones first, by one key each."""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import enter, org_for
from accounts.models import Membership
from distillation.access import input_for
from distillation.imports import uploads
from distillation.labelling import services
from distillation.labelling.answers import answer_form
from distillation.labelling.forms import InputsForm, TakeOverForm
from distillation.labelling.reading import MOST_INPUTS, Inputs, inputs_of_file, pasted_inputs
from distillation.labelling.rows import DEFAULT_LEVEL, ModelInput
from models_app.access import model_for
from models_app.models import CustomModel
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.health import silent
from modelstation.core.models import Job

RECENT = 8
ACTIONS = {"skip": ModelInput.State.SKIPPED, "unusable": ModelInput.State.UNUSABLE}


@login_required
@require_GET
def labelling(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Show the input to answer next, or the one that `?input=` names; polls while a job works."""
    model = model_for(org_for(request, org), model_id)
    wanted = request.GET.get("input")
    try:
        row = input_for(model, uuid.UUID(wanted)) if wanted else None
    except ValueError:
        row = None
    return _shown(request, model, row=row)


@require_POST
@uploads.receives_files
def labelling_add(
    request: HttpRequest, membership: Membership, model_id: uuid.UUID
) -> HttpResponse:
    model = model_for(membership.org, model_id)
    form = InputsForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            inputs = _inputs(form)
            added = services.add_inputs(actor=membership.user, model=model, inputs=inputs)
            messages.success(request, _said(inputs, added))
            return redirect("labelling", membership.org.slug, model.id)
        except UserFacingError as error:
            field = "file" if form.cleaned_data["file"] else "inputs"
            form.add_error(field, error.text)
    return _shown(request, model, inputs_form=form)


@login_required
@require_POST
def labelling_answer(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Take one decision, and show the next input; without script, by its page."""
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    row = input_for(model, request.POST.get("input_id", ""))
    try:
        _decide(request, membership, row)
    except UserFacingError as error:
        problem = error.text
        return _shown(request, model, row=row, problem=problem, said=request.POST)
    return _next(request, model)


@login_required
@require_POST
def labelling_undo(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    services.undo(actor=membership.user, model=model)
    return _next(request, model)


@login_required
@require_POST
def labelling_take_over(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    form = TakeOverForm(request.POST)
    if not form.is_valid():
        raise UserFacingError("Choose how many errors are allowed.", code="bad_level")
    try:
        services.take_over(actor=membership.user, model=model, **form.cleaned_data)
        messages.success(request, "The rows are being stored; the next build uses them.")
    except UserFacingError as error:
        messages.error(request, error.text)
    return redirect("labelling", org, model.id)


def _decide(request: HttpRequest, membership: Membership, row: ModelInput) -> None:
    actor, action = membership.user, request.POST.get("do", "")
    if action in ACTIONS:
        services.set_state(actor=actor, row=row, state=ACTIONS[action])
        return
    form = answer_form(row.model)
    answer = request.POST.get("answer", "")
    if form.fields and not answer:
        answer = form.from_fields(request.POST.dict())
    services.answer_input(actor=actor, row=row, answer=answer or request.POST.get("other", ""))


def _inputs(form: InputsForm) -> Inputs:
    if file := form.cleaned_data["file"]:
        return inputs_of_file(file, form.cleaned_data["column"])
    return pasted_inputs(form.cleaned_data["inputs"])


def _said(inputs: Inputs, added: services.Added) -> str:
    """What became of all that was brought."""
    left_out = {
        "there already": added.duplicate,
        "blank": inputs.blank,
        "too long": inputs.too_long,
        "unreadable": inputs.unreadable,
        f"beyond the {MOST_INPUTS:,} that a model may have": added.beyond,
    }
    parts = [f"{count:,} {what}" for what, count in left_out.items() if count]
    more = f" Left out: {', '.join(parts)}." if parts else ""
    cut = f" Only the first {MOST_INPUTS:,} were read." if inputs.is_cut else ""
    column = f" from the column “{inputs.column}”" if inputs.column else ""
    return f"{added.added:,} inputs added{column}.{more}{cut}"


def _next(request: HttpRequest, model: CustomModel) -> HttpResponse:
    if request.htmx:  # type: ignore[attr-defined]
        return _shown(request, model)
    return redirect("labelling", model.org.slug, model.id)


def _shown(
    request: HttpRequest, model: CustomModel, *, row: ModelInput | None = None, **more: Any
) -> HttpResponse:
    form = answer_form(model)
    summary = services.summary_of(model, form)
    current = row or services.next_input(model)
    begun = "" if current is None else current.answer or current.proposal
    recent = model.inputs.inputs().exclude(state=ModelInput.State.OPEN)
    level = summary.labelling.level if summary.labelling else DEFAULT_LEVEL
    job = summary.labelling.job if summary.labelling else None
    waits = job is not None and job.state == Job.State.QUEUED
    context = {
        "model": model,
        "form": form,
        "summary": summary,
        "current": current,
        "begun": begun,
        "fields": form.to_fields(begun),
        "recent": recent.order_by("-answered_at")[:RECENT],
        "take_over_form": TakeOverForm(initial={"level": level}),
        "inputs_form": InputsForm(),
        "most_inputs": MOST_INPUTS,
        "problems": silent([job.queue]) if job is not None and waits else [],
        **more,
    }
    template = "_labelling" if request.htmx else "labelling"  # type: ignore[attr-defined]
    return render(request, f"distillation/{template}.html", context)
