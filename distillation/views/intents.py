"""Pages of what was understood: of a new model before it is made, and of one that is there."""

import json
import uuid
from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import org_for
from accounts.models import User
from distillation.intent_forms import IntentForm
from distillation.intents import requirement_of
from distillation.pipeline.intent import edits_from
from models_app import services
from models_app.access import model_for
from models_app.forms import ModelDraftForm

SAVED = "The corrections are saved. The next build uses them."


@login_required
@require_POST
def model_understood(request: HttpRequest, org: str) -> HttpResponse:
    """The second step of a new model; `step` is the button pressed. Nothing is stored before
    “create”: what was typed travels in the page, and what was corrected as `corrections`.
    """
    owner = org_for(request, org)
    draft_form = ModelDraftForm(request.POST)
    step, corrected = request.POST.get("step"), _corrections(request)
    if not draft_form.is_valid():
        return _first_step(request, draft_form, corrected)
    form = IntentForm(
        request.POST if step in ("back", "create") else None,
        requirement=requirement_of(draft_form.draft),
        corrected=corrected,
    )
    if step == "back":
        return _first_step(request, draft_form, form.corrected)
    if step == "create" and form.is_valid():
        model = services.create_model(
            actor=_user(request), org=owner, draft=replace(draft_form.draft, **form.corrected)
        )
        return redirect("model", owner.slug, model.id)
    context = {"draft_form": draft_form, "form": form, "corrections": json.dumps(corrected)}
    return render(request, "distillation/model_understood.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def model_intent(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Correct a model that is there; `build` is the button that distils again at once."""
    model = model_for(org_for(request, org), model_id)
    form = IntentForm(
        request.POST or None,
        requirement=requirement_of(model),
        corrected={"intent_edits": model.intent_edits},
    )
    if request.method == "POST" and form.is_valid():
        by_hand = {"label_map": rules} if (rules := model.intent_edits.get("label_map")) else {}
        services.correct_intent(
            actor=_user(request),
            model=model,
            intent_edits=form.corrected["intent_edits"] | by_hand,
            system_prompt=form.corrected["system_prompt"],
            build="build" in request.POST,
        )
        messages.success(request, SAVED)
        return redirect("model", org, model.id)
    return render(request, "distillation/model_intent.html", {"model": model, "form": form})


def _first_step(
    request: HttpRequest, form: ModelDraftForm, corrected: dict[str, Any]
) -> HttpResponse:
    context = {"form": form, "corrections": json.dumps(corrected)}
    return render(request, "models_app/model_new.html", context)


def _corrections(request: HttpRequest) -> dict[str, Any]:
    """What the page carries from step to step. One that was tampered with counts as none."""
    try:
        carried = json.loads(request.POST.get("corrections") or "{}")
        corrected = {
            "intent_edits": dict(carried.get("intent_edits") or {}),
            "system_prompt": str(carried.get("system_prompt") or ""),
        }
        edits_from(corrected["intent_edits"])
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {"intent_edits": {}, "system_prompt": ""}
    return corrected


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # every view here asks for a login
    return request.user
