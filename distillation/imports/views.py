"""Pages of an organisation's own data: upload, preview, progress and result."""

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import enter, org_for
from accounts.models import Membership
from distillation.access import import_for
from distillation.corpus.quality import flag_text
from distillation.imports import services as imports
from distillation.imports import uploads
from distillation.imports.forms import LICENSES, ConfirmForm, UploadForm, draft_with
from distillation.imports.reading.preview import Preview
from distillation.imports.services import ImportDraft, draft_of
from distillation.models import ImportRun, SourceDataset
from models_app.forms import add_refusal
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.health import problems
from modelstation.core.models import Job


@require_http_methods(["GET", "POST"])
@uploads.receives_files
def source_new(request: HttpRequest, membership: Membership) -> HttpResponse:
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        try:
            org, actor = membership.org, membership.user
            run = imports.upload(actor=actor, org=org, file=file, draft=form.draft)
            return redirect("import", org.slug, run.id)
        except UserFacingError as error:
            form.add_error("file", error.text)
    context = {"form": form, "licenses": LICENSES, "most_bytes": settings.UPLOAD_MAX_BYTES}
    return render(request, "distillation/source_new.html", context)


@login_required
@require_GET
def import_page(request: HttpRequest, org: str, import_id: uuid.UUID) -> HttpResponse:
    run = import_for(org_for(request, org), import_id)
    if run.state != ImportRun.State.UPLOADED:
        return render(request, "distillation/import.html", _state(run))
    draft = draft_of(run)
    preview = imports.preview_of(run, draft)
    form = ConfirmForm(initial=vars(draft_with(draft, preview.mapping)), preview=preview)
    return render(request, "distillation/import_preview.html", _look(run, form, draft, preview))


@login_required
@require_GET
def import_live(request: HttpRequest, org: str, import_id: uuid.UUID) -> HttpResponse:
    """Show what changes while it loads; it requests itself again until the import has ended."""
    run = import_for(org_for(request, org), import_id)
    return render(request, "distillation/_import_state.html", _state(run))


@login_required
@require_POST
def import_preview(request: HttpRequest, org: str, import_id: uuid.UUID) -> HttpResponse:
    """How the rows would be read with the columns that were chosen; stores nothing."""
    run = import_for(org_for(request, org), import_id)
    if run.state != ImportRun.State.UPLOADED:
        return redirect("import", org, run.id)
    form, context = _requested(request, run)
    template = "_preview.html" if request.htmx else "import_preview.html"  # type: ignore[attr-defined]
    return render(request, f"distillation/{template}", context)


@login_required
@require_POST
def import_confirm(request: HttpRequest, org: str, import_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    run = import_for(membership.org, import_id)
    if run.state != ImportRun.State.UPLOADED:
        return redirect("import", org, run.id)
    form, context = _requested(request, run)
    if form.is_valid():
        try:
            imports.confirm_import(actor=membership.user, run=run, draft=form.draft)
            page = ("model_data", org, run.model_id) if run.model_id else ("import", org, run.id)
            return redirect(*page)
        except UserFacingError as error:
            add_refusal(form, error)
    return render(request, "distillation/import_preview.html", context)


@login_required
@require_POST
def import_cancel(request: HttpRequest, org: str, import_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    run = import_for(membership.org, import_id)
    if not imports.cancel_import(actor=membership.user, run=run):
        messages.info(request, "This import had ended already.")
    return redirect("import", org, run.id)


@login_required
@require_GET
def import_rejected(request: HttpRequest, org: str, import_id: uuid.UUID) -> StreamingHttpResponse:
    """All rows that were left out, as `?format=jsonl` or `csv`."""
    run = import_for(org_for(request, org), import_id)
    form = request.GET.get("format", "jsonl")
    if form not in uploads.REJECTED_FORMATS:
        raise Http404("Rejected rows come as jsonl or csv.")
    return uploads.rejected_download(run, form)


# --- helpers --------------------------------------------------------------------------------------


def _requested(request: HttpRequest, run: ImportRun) -> tuple[ConfirmForm, dict[str, Any]]:
    """Return the form as sent, and the preview that it requests; of a wrong one, as it stood."""
    draft = draft_of(run)
    preview = imports.preview_of(run, draft)
    form = ConfirmForm(request.POST, preview=preview)
    if form.is_valid():
        draft, preview = form.draft, imports.preview_of(run, form.draft)
    return form, _look(run, form, draft, preview)


def _look(
    run: ImportRun, form: ConfirmForm, draft: ImportDraft, preview: Preview
) -> dict[str, Any]:
    return {
        "run": run,
        "form": form,
        "licenses": LICENSES,
        "preview": preview,
        "problem": imports.problem_of(run, draft, preview),
        "earlier": imports.earlier(run),
    }


def _state(run: ImportRun) -> dict[str, Any]:
    waits = run.job is not None and run.job.state == Job.State.QUEUED
    name = draft_of(run).source_name
    return {
        "run": run,
        "job": run.job,
        "source_name": name,
        "source": SourceDataset.objects.filter(org=run.org, name=name).first(),
        "problems": problems(["distil"]) if waits else [],
        "flags": {flag_text(flag): rows for flag, rows in run.flags.items()},
    }
