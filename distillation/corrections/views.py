"""Pages of corrections: marked in the playground, decided here, trained on by the next build."""

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import enter, org_for
from accounts.models import User
from distillation.access import answering_version, correction_for
from distillation.corrections import services
from distillation.datasets.row_pages import page_of
from distillation.limits import TEXT_CHARS
from distillation.models import CandidateRow
from models_app.access import model_for
from models_app.forms import add_refusal
from modelstation.core.errors import UserFacingError

PER_PAGE = 25
SAID = {
    "accepted": "Accepted. The next build trains on it.",
    "dismissed": "Dismissed. The next build does without it.",
    "": "Saved.",
}


class SaidField(forms.CharField):
    """Browsers send CRLF; models were trained on LF, and are queried with it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=TEXT_CHARS, **options)

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")


class WrongAnswerForm(forms.Form):
    """What the playground sends: an answer, and what it should have been."""

    version = forms.IntegerField(min_value=1, max_value=2**31 - 1)
    input = SaidField()
    wrong_answer = SaidField(required=False)
    system_prompt = SaidField(required=False)
    correction = SaidField()


class CorrectionForm(forms.Form):
    input = SaidField(widget=forms.Textarea(attrs={"rows": 4}))
    correction = SaidField(
        label="What it should have answered", widget=forms.Textarea(attrs={"rows": 3})
    )


@login_required
@require_GET
def corrections(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    rows = model.candidate_rows.select_related("model", "created_by", "decided_by", "dataset")
    state = request.GET.get("state", "")
    if state in CandidateRow.State.values:
        rows = rows.filter(state=state)
    page = page_of(request, rows, PER_PAGE)
    conflicts = services.conflicts_of(model, list(page))
    for row in page:
        row.conflict = conflicts[row.id]
    counts = _counts(model)
    waiting = dict(counts)[CandidateRow.State.ACCEPTED]
    context = {"model": model, "page": page, "state": state, "counts": counts, "waiting": waiting}
    return render(request, "distillation/corrections.html", context)


@login_required
@require_POST
def correct(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Answer the playground in the form's place; where there is no script, with the list."""
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    form = WrongAnswerForm(request.POST)
    row = _added(membership.user, model, form) if form.is_valid() else None
    context = {"model": model, "correction": row, "wrong_form": form, "said": request.POST}
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "distillation/_wrong_answer.html", context)
    if row is None:
        return render(request, "distillation/correction_new.html", context)
    messages.success(request, "The correction is kept. Accept it, and the next build trains on it.")
    return redirect("corrections", org, model.id)


@login_required
@require_http_methods(["GET", "POST"])
def correction(
    request: HttpRequest, org: str, model_id: uuid.UUID, correction_id: uuid.UUID
) -> HttpResponse:
    """One correction: edit it, accept or dismiss it."""
    membership = enter(request, org)
    row = correction_for(model_for(membership.org, model_id), correction_id)
    initial = {"input": row.input, "correction": row.correction}
    if request.method == "POST":
        form = CorrectionForm(initial | request.POST.dict(), initial=initial)
        if form.is_valid() and _changed(request, membership.user, row, form):
            return redirect("corrections", org, model_id)
    else:
        form = CorrectionForm(initial=initial)
    context = {"model": row.model, "row": row, "form": form, "conflict": services.conflict_of(row)}
    return render(request, "distillation/correction.html", context)


def _added(actor: User, model: Any, form: WrongAnswerForm) -> CandidateRow | None:
    said = dict(form.cleaned_data)
    try:
        version = answering_version(model, said.pop("version"))
        draft = services.CorrectionDraft(**said)
        return services.add_correction(actor=actor, version=version, draft=draft)
    except UserFacingError as error:
        add_refusal(form, error)
        return None


def _changed(request: HttpRequest, actor: User, row: CandidateRow, form: CorrectionForm) -> bool:
    state = request.POST.get("state", "")
    state = state if state in services.DECISIONS else ""
    said = {name: form.cleaned_data[name] for name in form.changed_data}
    try:
        services.change_correction(actor=actor, row=row, state=state, **said)
    except UserFacingError as error:
        add_refusal(form, error)
        return False
    messages.success(request, SAID[state])
    return True


def _counts(model: Any) -> list[tuple[str, int]]:
    rows = dict(model.candidate_rows.order_by().values_list("state").annotate(rows=Count("id")))
    return [(state, rows.get(state, 0)) for state in CandidateRow.State.values]
