"""Pages of sources: which there are, and their rows."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import enter, manages, org_for
from accounts.models import Role
from distillation.access import own_source_for, source_for
from distillation.corpus.deletion import delete_source, use_of
from distillation.corpus.forms import ConfirmNameForm
from distillation.corpus.gallery import gallery, purpose_of, purposes
from distillation.corpus.quality import flag_counts, flag_text
from distillation.datasets.row_pages import breakdown, counts_by_task, page_of
from distillation.limits import SEARCH_CHARS
from distillation.models import CorpusExample, ImportRun, SourceDataset

LATEST_IMPORTS = 10


@login_required
@require_GET
def sources(request: HttpRequest, org: str) -> HttpResponse:
    organization = org_for(request, org)
    query = request.GET.get("q", "")[:SEARCH_CHARS]
    listed = purposes(SourceDataset.objects.visible_to(organization))
    context = {
        "q": query,
        "purposes": [purpose for purpose in listed if purpose.matches(query)],
        "imports": ImportRun.objects.filter(Q(org=None) | Q(org=organization))[:LATEST_IMPORTS],
    }
    return render(request, "distillation/sources.html", context)


@login_required
@require_GET
def gallery_page(request: HttpRequest, org: str) -> HttpResponse:
    """Show a card for each task that the corpus of this installation serves."""
    return render(request, "distillation/gallery.html", {"cards": gallery(org_for(request, org))})


@login_required
@require_GET
def source(request: HttpRequest, org: str, source_id: uuid.UUID) -> HttpResponse:
    """Rows of one source, a page at a time; `?task=` and `?flag=` keep to one of them."""
    membership = enter(request, org)
    chosen = source_for(membership.org, source_id)
    task, flag = request.GET.get("task", ""), request.GET.get("flag", "")
    rows = narrowed(chosen.examples.defer("embedding").order_by("id"), task, flag)
    context = {
        "source": chosen,
        "purpose": purpose_of(chosen),
        "may_delete": chosen.org_id is not None and manages(membership),
        "flags": flag_counts(chosen),
        "flag": {"name": flag, "text": flag_text(flag)} if flag else None,
        "tasks": breakdown("Tasks", counts_by_task(chosen.examples.all())),
        "task": task,
        "page": page_of(request, rows),
    }
    return render(request, "distillation/source.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def source_delete(request: HttpRequest, org: str, source_id: uuid.UUID) -> HttpResponse:
    """Names what was made with the source, and deletes it once its name was typed."""
    membership = enter(request, org, role=Role.ADMIN)
    chosen = own_source_for(membership.org, source_id)
    form = ConfirmNameForm(request.POST or None, name=chosen.name)
    if request.method == "POST" and form.is_valid():
        delete_source(actor=membership.user, source=chosen)
        messages.success(request, f"The source “{chosen.name}” and its rows were deleted.")
        return redirect("sources", org=org)
    context = {"source": chosen, "use": use_of(chosen), "form": form}
    return render(request, "distillation/source_delete.html", context)


def narrowed(rows: QuerySet[CorpusExample], task: str, flag: str) -> QuerySet[CorpusExample]:
    """No row has a NUL in its task or flag, and Postgres would refuse the question."""
    if "\x00" in task + flag:
        return rows.none()
    rows = rows.filter(task=task) if task else rows
    return rows.filter(flags__contains=[flag]) if flag else rows
