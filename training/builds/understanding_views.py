"""Pages of what was understood: of a new model before it is made, and of one that is there."""

import json
import uuid
from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import enter
from accounts.models import Membership
from distillation.access import labelled_run_for, source_for
from distillation.imports import uploads
from distillation.label_map import LabelLine, LabelTable, label_table, rules_with
from distillation.model_data.forms import OwnRowsForm
from distillation.model_data.new_rows import ShownRows, labels_outside, rows_of, with_rows
from distillation.model_data.overview import data_overview
from distillation.models import SourceDataset
from distillation.pipeline.understand.intent import edits_from
from models_app.access import model_for
from models_app.bases.recommending import recommended
from models_app.contract.services import compiled
from models_app.drafts import ModelDraft
from models_app.forms import ModelDraftForm
from models_app.understanding import FIELDS, requirement_of
from modelstation.core.errors import UserFacingError
from training.builds import services
from training.builds.understanding_forms import IntentForm, LabelMapForm

LINES_PER_PAGE = 50
MOST_PINNED = 20
STEPS = ("back", "create", "look")
LEFT_OUT = "left_out"
SAVED = "The corrections are saved. The next build uses them."


@require_POST
@uploads.receives_files
def model_understood(request: HttpRequest, member: Membership) -> HttpResponse:
    """Show the second step of a new model; `step` is the button pressed. No model is stored before
    “create”: what was typed travels in the page, what was corrected as `corrections`, and of own
    rows the id of the upload.
    """
    draft_form, rows_form = ModelDraftForm(request.POST), OwnRowsForm(request.POST, request.FILES)
    step, corrected = request.POST.get("step"), _corrections(request)
    sources = _pinned(request, member)
    if not draft_form.is_valid() or not rows_form.is_valid():
        return _first_step(request, draft_form, corrected, rows_form, sources)
    try:
        rows = rows_of(request, member, rows_form, name=draft_form.draft.name)
    except UserFacingError as error:
        rows_form.add_error("file", error.text)
        return _first_step(request, draft_form, corrected, rows_form, sources)
    draft, corrected = with_rows(draft_form.draft, corrected, rows)
    form = IntentForm(
        request.POST if step in STEPS else None,
        requirement=requirement_of(draft),
        corrected=corrected,
    )
    if step == "back":
        return _first_step(request, draft_form, form.corrected, rows_form, sources, rows)
    if step == "create" and form.is_valid() and not (rows and rows.problem):
        draft = replace(draft, **form.corrected)
        own = [rows.own] if rows else []
        model = services.create_model(
            actor=member.user,
            org=member.org,
            draft=draft,
            rows=own,
            sources=sources,
        )
        return redirect("model", member.org.slug, model.id)
    return _second_step(request, draft_form, draft, form, corrected, rows, sources)


@login_required
@require_http_methods(["GET", "POST"])
def model_intent(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Correct a model that is there; `build` is the button that distils again at once."""
    member = enter(request, org)
    model = model_for(member.org, model_id)
    form = IntentForm(
        request.POST or None,
        requirement=requirement_of(model),
        corrected={"intent_edits": model.intent_edits},
    )
    if request.method == "POST" and form.is_valid():
        services.correct_intent(
            actor=member.user,
            model=model,
            changes=dict.fromkeys(FIELDS) | form.corrected["intent_edits"],
            system_prompt=form.corrected["system_prompt"],
            build="build" in request.POST,
        )
        messages.success(request, SAVED)
        return redirect("model", org, model.id)
    return render(request, "distillation/model_intent.html", {"model": model, "form": form})


@login_required
@require_http_methods(["GET", "POST"])
def model_labels(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """How the labels of the sources become the model's, a page at a time, to be decided by hand."""
    member = enter(request, org)
    model = model_for(member.org, model_id)
    run = labelled_run_for(model)
    rules = model.intent_edits.get("label_map", [])
    table = label_table(run.label_map, run.intent.get("labels", []), rules)
    page, show = _page_of_lines(request, table)
    if request.method == "POST" and request.POST.get("run") != str(run.id):
        messages.warning(request, "Distilled again meanwhile: here is the newest table.")
        return redirect("model_labels", org, model.id)
    form = LabelMapForm(request.POST or None, lines=dict(page.object_list), labels=table.labels)
    if request.method == "POST" and form.is_valid():
        changes = {"label_map": rules_with(rules, table, form.chosen) or None}
        build = "build" in request.POST
        services.correct_intent(actor=member.user, model=model, changes=changes, build=build)
        messages.success(request, SAVED)
        return redirect("model", org, model.id) if build else redirect(request.get_full_path())
    context = {"model": model, "run": run, "table": table, "page": page, "show": show, "form": form}
    return render(request, "distillation/model_labels.html", context)


@login_required
@require_POST
def model_data_labels(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Take the labels of the chosen sources as those of the model."""
    member = enter(request, org)
    model = model_for(member.org, model_id)
    labels = data_overview(model).offered_labels
    if len(labels) > 1:
        services.correct_intent(actor=member.user, model=model, changes={"labels": labels})
        messages.success(request, f"The model has {len(labels)} labels now.")
    return redirect("model_data", org, model.id)


def _page_of_lines(
    request: HttpRequest, table: LabelTable
) -> tuple[Page[tuple[str, LabelLine]], str]:
    """Return lines by the name of their field: the requested ones, or those that were sent."""
    named = [(f"line_{number}", line) for number, line in enumerate(table.lines)]
    show = request.GET.get("show", "")
    if request.method == "POST":
        named = [item for item in named if item[0] in request.POST]
    elif show == LEFT_OUT:
        named = [item for item in named if not item[1].mapped_to]
    return Paginator(named, LINES_PER_PAGE).get_page(request.GET.get("page")), show


def _first_step(
    request: HttpRequest,
    form: ModelDraftForm,
    corrected: dict[str, Any],
    rows_form: OwnRowsForm,
    sources: list[SourceDataset],
    rows: ShownRows | None = None,
) -> HttpResponse:
    context = {
        "form": form,
        "rows_form": rows_form,
        "rows": rows,
        "sources": sources,
        "corrections": json.dumps(corrected),
    }
    return render(request, "models_app/model_new.html", context)


def _second_step(
    request: HttpRequest,
    draft_form: ModelDraftForm,
    draft: ModelDraft,
    form: IntentForm,
    corrected: dict[str, Any],
    rows: ShownRows | None,
    sources: list[SourceDataset],
) -> HttpResponse:
    context = {
        "draft_form": draft_form,
        "form": form,
        "corrections": json.dumps(corrected),
        "chosen_base": draft.base,
        "advice": recommended(draft),
        "contract": compiled(draft),
        "rows": rows,
        "sources": sources,
        "outside": labels_outside(rows, form.intent),
    }
    return render(request, "distillation/model_understood.html", context)


def _pinned(request: HttpRequest, member: Membership) -> list[SourceDataset]:
    """Return the sources that the page carries from step to step."""
    named = request.POST.getlist("source")[:MOST_PINNED]
    return [source_for(member.org, source_id) for source_id in named if is_uuid(source_id)]


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _corrections(request: HttpRequest) -> dict[str, Any]:
    """Read what the page carries from step to step. One that was tampered with counts as none."""
    try:
        carried = json.loads(request.POST.get("corrections") or "{}")
        corrected: dict[str, Any] = {
            "intent_edits": dict(carried.get("intent_edits") or {}),
            "system_prompt": str(carried.get("system_prompt") or ""),
        }
        edits_from(corrected["intent_edits"])
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {"intent_edits": {}, "system_prompt": ""}
    return corrected
