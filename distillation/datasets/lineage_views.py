"""The lineage of a dataset: where each row comes from, and whether all is as it was frozen."""

import uuid

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import org_for
from distillation.access import dataset_for
from distillation.datasets.lineage import lineage_of
from distillation.datasets.row_pages import page_of


@login_required
@require_GET
def dataset_lineage(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    version = dataset_for(org_for(request, org), dataset_id)
    lineage = lineage_of(version)
    context = {
        "version": version,
        "lineage": lineage,
        "checks": lineage.checks,
        "page": page_of(request, version.rows.defer("messages", "original_messages")),
    }
    return render(request, "distillation/lineage.html", context)
