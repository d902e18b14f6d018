"""What people do to a draft on its page: decide, edit, freeze; and to a frozen one: draft it anew.

Each deed comes back to the page with its outcome as a message; the rows that are meant by "all
that match" are those of the query string, as they were shown.
"""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import org_for
from accounts.models import User
from distillation.access import dataset_for, row_for
from distillation.curation import services as curation
from distillation.curation.distributions import answers_of, facets_of
from distillation.curation.forms import RowForm
from distillation.datasets.views import filter_form
from distillation.models import DatasetVersion
from modelstation.core.errors import UserFacingError


@login_required
@require_POST
def dataset_rows(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    """Act on the rows that were ticked, on one row, or on all that match the query string."""
    version = dataset_for(org_for(request, org), dataset_id)
    one, _, action = request.POST.get("one", "").partition(":")
    action = action or request.POST.get("do", "")
    if action not in BULK:
        messages.error(request, "Choose what to do with the rows.")
    else:
        _attempt(request, lambda: BULK[action](request, version, _chosen(request, version, one)))
    return redirect(f"{_page(org, version)}?{request.GET.urlencode()}#rows")


@login_required
@require_http_methods(["GET", "POST"])
def dataset_row(request: HttpRequest, org: str, dataset_id: uuid.UUID, row_id: int) -> HttpResponse:
    version = dataset_for(org_for(request, org), dataset_id)
    row = row_for(version, row_id)
    form = RowForm(request.POST or None, row=row)
    if request.method == "POST":
        if "restore" in request.POST:
            _attempt(request, lambda: _restored(request, row))
            return redirect("dataset_row", org, version.id, row.id)
        if form.is_valid() and _saved(request, row, form):
            return redirect(f"{_page(org, version)}#rows")
    context = {"version": version, "row": row, "form": form}
    return render(request, "distillation/dataset_row.html", context)


@login_required
@require_POST
def dataset_draft(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    version = dataset_for(org_for(request, org), dataset_id)
    draft = curation.draft_of(actor=_user(request), version=version)
    messages.success(request, f"Dataset {draft.number} is a draft of dataset {version.number}.")
    return redirect(_page(org, draft))


@login_required
@require_POST
def dataset_discard(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    version = dataset_for(org_for(request, org), dataset_id)
    curation.discard_draft(actor=_user(request), version=version)
    messages.success(request, f"The draft of dataset {version.number} is discarded.")
    return redirect("model", org, version.model_id)


# --- actions --------------------------------------------------------------------------------------


def _decide(
    request: HttpRequest, version: DatasetVersion, chosen: curation.Chosen, *, decision: str
) -> str:
    actor = _user(request)
    changed = curation.decide_rows(actor=actor, version=version, chosen=chosen, decision=decision)
    return f"{_rows(changed)} now {decision}."


def _relabel(request: HttpRequest, version: DatasetVersion, chosen: curation.Chosen) -> str:
    answer = request.POST.get("answer", "")
    changed = curation.relabel(actor=_user(request), version=version, chosen=chosen, answer=answer)
    return f"{_rows(changed)} answered with “{answer}” now."


def _replace(request: HttpRequest, version: DatasetVersion, chosen: curation.Chosen) -> str:
    find, replacement = request.POST.get("find", ""), request.POST.get("replacement", "")
    changed = curation.replace_in_answers(
        actor=_user(request), version=version, chosen=chosen, find=find, replacement=replacement
    )
    return f"{_rows(changed)} changed."


BULK: dict[str, Callable[[HttpRequest, DatasetVersion, curation.Chosen], str]] = {
    "keep": partial(_decide, decision="kept"),
    "refuse": partial(_decide, decision="refused"),
    "relabel": _relabel,
    "replace": _replace,
}


def _restored(request: HttpRequest, row: Any) -> str:
    curation.restore_row(actor=_user(request), row=row)
    return f"Row {row.position} is as it was selected."


def _saved(request: HttpRequest, row: Any, form: RowForm) -> bool:
    try:
        curation.edit_row(actor=_user(request), row=row, **form.cleaned_data)
    except UserFacingError as error:
        field = error.param if error.param in form.fields else None
        form.add_error(field, f"{error.message} {error.hint}".strip())
        return False
    messages.success(request, f"Row {row.position} is saved.")
    return True


# --- helpers --------------------------------------------------------------------------------------


def _chosen(request: HttpRequest, version: DatasetVersion, one: str) -> curation.Chosen:
    if one:
        return _numbers([one])
    if "all" not in request.POST:
        return _numbers(request.POST.getlist("rows"))
    form = filter_form(request, version, facets_of(version), answers_of(version))
    if not form.is_valid():
        raise UserFacingError("This filter does not hold any more.", hint="Choose it again.")
    return form.row_filter


def _numbers(given: list[str]) -> list[int]:
    """Read what is no number as no row's id: it is not found, like any other stranger."""
    return [
        int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0 for text in given
    ]


def _attempt(request: HttpRequest, action: Callable[[], str]) -> bool:
    """Run it, and report the result."""
    try:
        messages.success(request, action())
    except UserFacingError as error:
        messages.error(request, f"{error.message} {error.hint}".strip())
        return False
    return True


def _page(org: str, version: DatasetVersion) -> str:
    return reverse("dataset", args=[org, version.id])


def _rows(number: int) -> str:
    return "1 row is" if number == 1 else f"{number:,} rows are"


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # every view here asks for a login
    return request.user
