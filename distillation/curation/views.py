"""What people do to a draft on its page: decide, edit, freeze; and to a frozen one: draft it anew.

Each action comes back to the page with its outcome as a message; "all that match" means those of
the query string, as they were shown.
"""

import uuid
from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import enter
from accounts.models import User
from distillation.access import dataset_for, row_for
from distillation.curation import services as curation
from distillation.curation.distributions import answers_of, facets_of
from distillation.curation.forms import RowForm
from distillation.datasets.views import filter_form
from distillation.models import DatasetRow, DatasetVersion
from models_app.forms import add_refusal
from modelstation.core.errors import UserFacingError


@login_required
@require_POST
def dataset_rows(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    """Act on the rows that were ticked, on one row, or on all that match the query string."""
    membership = enter(request, org)
    version = dataset_for(membership.org, dataset_id)
    _attempt(request, lambda: _act_on_rows(request, membership.user, version))
    return redirect(f"{_page(org, version)}?{request.GET.urlencode()}#rows")


@login_required
@require_http_methods(["GET", "POST"])
def dataset_row(request: HttpRequest, org: str, dataset_id: uuid.UUID, row_id: int) -> HttpResponse:
    membership = enter(request, org)
    version = dataset_for(membership.org, dataset_id)
    row, actor = row_for(version, row_id), membership.user
    form = RowForm(request.POST or None, row=row)
    if "restore" in request.POST:
        _attempt(request, lambda: _restored(actor, row))
        return redirect("dataset_row", org, version.id, row.id)
    if request.method == "POST" and form.is_valid():
        try:
            curation.edit_row(actor=actor, row=row, **form.cleaned_data)
        except UserFacingError as error:
            add_refusal(form, error)
        else:
            messages.success(request, f"Row {row.position} is saved.")
            return redirect(f"{_page(org, version)}#rows")
    context = {"version": version, "row": row, "form": form}
    return render(request, "distillation/dataset_row.html", context)


@login_required
@require_POST
def dataset_draft(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    version = dataset_for(membership.org, dataset_id)
    draft = curation.draft_of(actor=membership.user, version=version)
    messages.success(request, f"Dataset {draft.number} is a draft of dataset {version.number}.")
    return redirect(_page(org, draft))


@login_required
@require_POST
def dataset_discard(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    version = dataset_for(membership.org, dataset_id)
    curation.discard_draft(actor=membership.user, version=version)
    messages.success(request, f"The draft of dataset {version.number} is discarded.")
    return redirect("model", org, version.model_id)


# --- helpers --------------------------------------------------------------------------------------


def _act_on_rows(request: HttpRequest, actor: User, version: DatasetVersion) -> str:
    """Do what was requested with the rows that were chosen; return the outcome as a sentence."""
    said = request.POST
    one, _, action = said.get("one", "").partition(":")
    chosen = _chosen(request, version, one)
    match action or said.get("do", ""):
        case "keep" | "refuse" as verb:
            kept = "kept" if verb == "keep" else "refused"
            rows = curation.decide_rows(actor=actor, version=version, chosen=chosen, decision=kept)
            return f"{_rows(rows)} now {kept}."
        case "relabel":
            answer = said.get("answer", "")
            rows = curation.relabel(actor=actor, version=version, chosen=chosen, answer=answer)
            return f"{_rows(rows)} answered with “{answer}” now."
        case "replace":
            find, replacement = said.get("find", ""), said.get("replacement", "")
            rows = curation.replace_in_answers(
                actor=actor, version=version, chosen=chosen, find=find, replacement=replacement
            )
            return f"{_rows(rows)} changed."
    raise UserFacingError("Choose what to do with the rows.")


def _restored(actor: User, row: DatasetRow) -> str:
    curation.restore_row(actor=actor, row=row)
    return f"Row {row.position} is as it was selected."


def _chosen(request: HttpRequest, version: DatasetVersion, one: str) -> curation.Chosen:
    if one or "all" not in request.POST:
        return _numbers([one] if one else request.POST.getlist("rows"))
    form = filter_form(request, version, facets_of(version), answers_of(version))
    if not form.is_valid():
        raise UserFacingError("This filter does not hold any more.", hint="Choose it again.")
    return form.row_filter


def _numbers(given: list[str]) -> list[int]:
    """Read what is no number as no row's id: it is not found, like any other stranger."""
    return [
        int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0 for text in given
    ]


def _attempt(request: HttpRequest, action: Callable[[], str]) -> None:
    """Run it, and report the result."""
    try:
        messages.success(request, action())
    except UserFacingError as error:
        messages.error(request, error.text)


def _page(org: str, version: DatasetVersion) -> str:
    return reverse("dataset", args=[org, version.id])


def _rows(number: int) -> str:
    return "1 row is" if number == 1 else f"{number:,} rows are"
