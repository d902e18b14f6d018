"""The page of a version's exports: what to take along, how far it is, the certificate, the link."""

import uuid
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.views.decorators.http import require_GET, require_POST

from accounts.access import enter, manages
from accounts.models import Membership, Role
from distillation.pushes.forms import PushForm
from models_app.access import version_for
from models_app.forms import add_refusal
from models_app.models import ModelVersion
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.failures import failure_of
from training.access import export_for
from training.export import pushes as export_pushes
from training.export import services as exports
from training.export.bundle.artifacts import ARTIFACTS, DEFAULT_ARTIFACTS
from training.export.bundle.bundle import public_key_hex
from training.export.links import link_path
from training.models import Export
from training.runs.views import problems_of, stage_of

SHOWN = 10


class ExportForm(forms.Form):
    artifacts = forms.MultipleChoiceField(
        label="What goes along",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one."},
    )

    def __init__(self, *args: Any, version: ModelVersion, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sizes = exports.sizes_of(version)
        field = self.fields["artifacts"]
        assert isinstance(field, forms.MultipleChoiceField)
        # Files may be gone, or of a kind whose size is known only when they are made.
        about = {size.name: f", about {filesizeformat(size.bytes)}" for size in sizes if size.bytes}
        field.choices = [(size.name, size.label + about.get(size.name, "")) for size in sizes]
        field.initial = DEFAULT_ARTIFACTS


class ExportPushForm(PushForm):
    field_order = ("repo_id", "token", "is_private")
    token = forms.CharField(
        label="Token of the hub",
        max_length=500,
        required=False,
        help_text="One that may write (hf_…), for this push alone. Left empty: your organisation's "
        "own, from its settings.",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )


@login_required
@require_GET
def version_export(request: HttpRequest, org: str, version_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    return _page(request, membership, version_for(membership.org, version_id))


@login_required
@require_GET
def version_export_live(request: HttpRequest, org: str, version_id: uuid.UUID) -> HttpResponse:
    """Render the cards of exports; each polls while it or a push of it goes on."""
    membership = enter(request, org)
    version = version_for(membership.org, version_id)
    return render(request, "training/_exports.html", _context(request, membership, version))


@login_required
@require_POST
def version_export_start(request: HttpRequest, org: str, version_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    version = version_for(membership.org, version_id)
    form = ExportForm(request.POST, version=version)
    try:
        if form.is_valid():
            exports.submit_export(actor=membership.user, version=version, **form.cleaned_data)
            return redirect("version_export", org, version_id)
    except UserFacingError as error:
        add_refusal(form, error)
    return _page(request, membership, version, form=form)


@login_required
@require_POST
def export_delete(request: HttpRequest, org: str, export_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    export = export_for(membership.org, export_id)
    exports.delete_export(actor=membership.user, export=export)
    messages.success(request, "The export is deleted; links to it are dead.")
    return redirect("version_export", org, export.version_id)


@login_required
@require_POST
def export_push(request: HttpRequest, org: str, export_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    export = export_for(membership.org, export_id)
    form = _push_form(export, request.POST)
    try:
        if form.is_valid():
            export_pushes.submit_push(actor=membership.user, export=export, **form.cleaned_data)
            messages.success(request, f"The export is on its way to {form['repo_id'].value()}.")
            return redirect("version_export", org, export.version_id)
    except UserFacingError as error:
        add_refusal(form, error)
    return _page(request, membership, export.version, pushed=export, push_form=form)


def _page(
    request: HttpRequest,
    membership: Membership,
    version: ModelVersion,
    *,
    form: ExportForm | None = None,
    pushed: Export | None = None,
    push_form: ExportPushForm | None = None,
) -> HttpResponse:
    """With the form that was refused, as it was filled in."""
    context = _context(request, membership, version)
    for export in context["exports"]:
        if export == pushed:
            export.push_form = push_form
    context |= {
        "form": form or ExportForm(version=version),
        "free_bytes": exports.free_bytes(),
        "days": settings.EXPORT_DAYS,
        "public_key": public_key_hex(settings.EXPORT_SIGNING_KEY),
    }
    return render(request, "training/export.html", context)


def _push_form(export: Export, data: Any = None) -> ExportPushForm:
    """There is one in each card, so their ids differ."""
    return ExportPushForm(data, auto_id=f"push_{export.pk}_%s")


def _context(request: HttpRequest, membership: Membership, version: ModelVersion) -> dict[str, Any]:
    exports_shown: list[Export] = list(
        version.exports.select_related("job").prefetch_related("pushes__job")[:SHOWN]
    )
    for export in exports_shown:
        _annotate(request, export)
    return {
        "version": version,
        "model": version.model,
        "exports": exports_shown,
        "may_push": manages(membership),
        "artifact_labels": {artifact.name: artifact.label for artifact in ARTIFACTS.values()},
        "link_hours": settings.EXPORT_LINK_HOURS,
    }


def _annotate(request: HttpRequest, export: Any) -> None:
    """Add what its card shows beside the row."""
    export.is_working = any(row.is_live for row in (export, *export.pushes.all()))
    export.push_form = _push_form(export)
    export.path = link_path(export) if export.is_there else ""
    export.url = request.build_absolute_uri(export.path) if export.path else ""
    export.failure = failure_of(export.job) if export.job else None
    if export.is_live:
        export.doing, export.problems = stage_of(export.job), problems_of(export.job)
