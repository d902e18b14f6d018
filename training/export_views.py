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
from models_app.access import version_for
from models_app.models import ModelVersion
from modelstation.core.errors import UserFacingError
from training import export_pushes, exports
from training.access import export_for
from training.export_links import link_path
from training.exporting.bundle import public_key_hex
from training.models import Export

SHOWN = 10


class ExportForm(forms.Form):
    artifacts = forms.MultipleChoiceField(
        label="What goes along", widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, version: ModelVersion, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sizes = exports.sizes_of(version)
        field = self.fields["artifacts"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [
            (size.name, f"{size.label}, about {filesizeformat(size.bytes)}") for size in sizes
        ]
        field.initial = exports.DEFAULT_ARTIFACTS


class ExportPushForm(forms.Form):
    repo_id = forms.CharField(
        label="Repository",
        max_length=200,
        help_text="namespace/name; it is made if it is not there yet.",
        widget=forms.TextInput(attrs={"placeholder": "acme/support-router", "spellcheck": "false"}),
    )
    token = forms.CharField(
        label="Token of the hub",
        max_length=500,
        required=False,
        help_text="For this push alone. Left empty: your organisation's own.",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    is_private = forms.BooleanField(
        label="Private: only members of the namespace see it", required=False, initial=True
    )


@login_required
@require_GET
def version_export(request: HttpRequest, org: str, version_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    version = version_for(membership.org, version_id)
    context = _context(request, membership, version)
    context |= {
        "form": ExportForm(version=version),
        "free_bytes": exports.free_bytes(),
        "days": settings.EXPORT_DAYS,
        "public_key": public_key_hex(settings.EXPORT_SIGNING_KEY),
    }
    return render(request, "training/export.html", context)


@login_required
@require_GET
def version_export_live(request: HttpRequest, org: str, version_id: uuid.UUID) -> HttpResponse:
    """The fragment that asks for itself again while an export or a push goes on."""
    membership = enter(request, org)
    version = version_for(membership.org, version_id)
    return render(request, "training/_exports.html", _context(request, membership, version))


@login_required
@require_POST
def version_export_start(request: HttpRequest, org: str, version_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    version = version_for(membership.org, version_id)
    form = ExportForm(request.POST, version=version)
    if not form.is_valid():
        raise UserFacingError("Choose at least one artifact.", param="artifacts")
    exports.submit_export(actor=membership.user, version=version, **form.cleaned_data)
    return redirect("version_export", org, version_id)


@login_required
@require_POST
def export_delete(request: HttpRequest, org: str, export_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    export = export_for(membership.org, export_id)
    version_id = export.version_id
    exports.delete_export(actor=membership.user, export=export)
    messages.success(request, "The export is deleted; links to it are dead.")
    return redirect("version_export", org, version_id)


@login_required
@require_POST
def export_push(request: HttpRequest, org: str, export_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    export = export_for(membership.org, export_id)
    form = ExportPushForm(request.POST)
    if not form.is_valid():
        raise UserFacingError("Name the repository to push to.", code="bad_repo_id")
    export_pushes.submit_push(actor=membership.user, export=export, **form.cleaned_data)
    messages.success(request, f"The export is on its way to {form.cleaned_data['repo_id']}.")
    return redirect("version_export", org, export.version_id)


def _context(request: HttpRequest, membership: Membership, version: ModelVersion) -> dict[str, Any]:
    found: list[Export] = list(
        version.exports.select_related("job").prefetch_related("pushes__job")[:SHOWN]
    )
    for export in found:
        if export.is_there:
            export.path = link_path(export)  # type: ignore[attr-defined]
            export.url = request.build_absolute_uri(export.path)  # type: ignore[attr-defined]
    live = [row for export in found for row in (export, *export.pushes.all()) if row.is_live]
    return {
        "version": version,
        "model": version.model,
        "exports": found,
        "is_live": bool(live),
        "may_push": manages(membership),
        "push_form": ExportPushForm(),
        "artifact_names": exports.ARTIFACTS,
    }
