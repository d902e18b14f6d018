"""The stored answers of a model: looked through, and made rows of its data."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.access import enter, org_for
from distillation.datasets.row_pages import page_of
from distillation.logs import services as logs
from distillation.logs.forms import LogFilterForm, chosen_or_refused
from models_app.access import model_for
from modelstation.core.errors import UserFacingError

PER_PAGE = 25
SHOWN_USES = 5


@login_required
@require_GET
def model_logs(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    form = LogFilterForm(request.GET)
    page = page_of(request, logs.stored_of(model, form.chosen()), PER_PAGE)
    context = {
        "model": model,
        "form": form,
        "page": page,
        "is_filtered": any(form.data.get(name) for name in form.fields),
        "uses": model.log_uses.select_related("run")[:SHOWN_USES],
    }
    return render(request, "distillation/logs.html", context)


@login_required
@require_POST
def model_logs_use(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    try:
        chosen = chosen_or_refused(LogFilterForm(request.POST))
        use = logs.use_logs(actor=membership.user, model=model, chosen=chosen)
    except UserFacingError as error:
        messages.error(request, error.text)
        return redirect("model_logs", org, model_id)
    return redirect("import", org, use.run_id)
