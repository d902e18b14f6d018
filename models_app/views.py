"""The pages of models; those that start or end a build are in training.builds."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST
from zipstream import ZipStream

from accounts.access import enter, org_for
from models_app import services
from models_app.access import model_for, version_for
from models_app.forms import ModelFilterForm, SystemPromptForm
from models_app.gateway.paths import version_folder
from models_app.models import CustomModel

PER_PAGE = 25


@login_required
@require_GET
def model_list(request: HttpRequest, org: str) -> HttpResponse:
    owner = org_for(request, org)
    form = ModelFilterForm(request.GET)
    form.is_valid()
    wanted = form.cleaned_data
    models = CustomModel.objects.for_org(owner).select_related("base", "live_version")
    if wanted.get("q"):
        models = models.filter(name__icontains=wanted["q"])
    if wanted.get("status"):
        models = models.filter(status=wanted["status"])
    page = Paginator(models, PER_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "filtered": any(wanted.values())}
    return render(request, "models_app/model_list.html", context)


@login_required
@require_POST
def model_prompt(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    member = enter(request, org)
    model = model_for(member.org, model_id)
    form = SystemPromptForm(request.POST)
    if not form.is_valid():
        return render(request, "models_app/model_prompt.html", {"model": model, "form": form})
    services.edit_system_prompt(actor=member.user, model=model, **form.cleaned_data)
    messages.success(request, "The system prompt is saved. The next build trains with it.")
    return redirect("model", org, model.id)


@login_required
@require_POST
def model_curation(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    member = enter(request, org)
    model = model_for(member.org, model_id)
    curation = request.POST.get("curation", "")
    services.set_curation(actor=member.user, model=model, curation=curation)
    messages.success(request, "Saved. The next selection goes by it.")
    return redirect("model", org, model.id)


@login_required
@require_GET
def version_download(
    request: HttpRequest, org: str, version_id: uuid.UUID, artifact: str
) -> StreamingHttpResponse:
    version = version_for(org_for(request, org), version_id)
    folder = version_folder(version) / artifact
    if artifact not in version.artifacts or not folder.is_dir():
        raise Http404("This version has no such artifact.")
    name = f"{version.model.slug}-v{version.number}-{artifact}"
    response = StreamingHttpResponse(
        ZipStream.from_path(folder, arcname=name), content_type="application/zip"
    )
    response["Content-Disposition"] = f'attachment; filename="{name}.zip"'
    return response
