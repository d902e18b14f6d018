"""Pages of sources: which there are, and their rows."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import enter, manages, org_for
from accounts.models import Organization, Role
from distillation.access import own_source_for, source_for
from distillation.deletion import delete_source, use_of
from distillation.forms import ConfirmNameForm
from distillation.models import ImportRun, SourceDataset
from distillation.views.rows import breakdown, counts_by_task, page_of

LATEST_IMPORTS = 10


@login_required
@require_GET
def sources(request: HttpRequest, org: str) -> HttpResponse:
    organization = org_for(request, org)
    context = {
        "sources": SourceDataset.objects.visible_to(organization),
        "imports": imports_of(organization)[:LATEST_IMPORTS],
    }
    return render(request, "distillation/sources.html", context)


@login_required
@require_GET
def source(request: HttpRequest, org: str, source_id: uuid.UUID) -> HttpResponse:
    """Rows of one source, a page at a time; `?task=` keeps to one of its tasks."""
    membership = enter(request, org)
    found = source_for(membership.org, source_id)
    tasks = counts_by_task(found.examples.all())
    rows = found.examples.defer("embedding").order_by("id")
    if task := request.GET.get("task"):
        rows = rows.filter(task=task)
    context = {
        "source": found,
        "may_delete": found.org_id is not None and manages(membership),
        "tasks": breakdown("Tasks", tasks),
        "task": task,
        "page": page_of(request, rows),
    }
    return render(request, "distillation/source.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def source_delete(request: HttpRequest, org: str, source_id: uuid.UUID) -> HttpResponse:
    """Names what was made with the source, and deletes it once its name was typed."""
    membership = enter(request, org, role=Role.ADMIN)
    found = own_source_for(membership.org, source_id)
    form = ConfirmNameForm(request.POST or None, name=found.name)
    if request.method == "POST" and form.is_valid():
        delete_source(actor=membership.user, source=found)
        messages.success(request, f"The source “{found.name}” and its rows were deleted.")
        return redirect("sources", org=org)
    context = {"source": found, "use": use_of(found), "form": form}
    return render(request, "distillation/source_delete.html", context)


def imports_of(org: Organization) -> QuerySet[ImportRun]:
    return ImportRun.objects.filter(Q(org=None) | Q(org=org))
