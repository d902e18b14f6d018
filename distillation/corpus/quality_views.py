"""The page that shows what is doubtful in one source."""

import uuid

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import org_for
from distillation.access import source_for
from distillation.corpus.quality import source_quality


@login_required
@require_GET
def quality(request: HttpRequest, org: str, source_id: uuid.UUID) -> HttpResponse:
    chosen = source_for(org_for(request, org), source_id)
    context = {"source": chosen, "quality": source_quality(chosen)}
    return render(request, "distillation/quality.html", context)
