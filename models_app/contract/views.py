"""Pages of the acceptance contract: its preview while a model is described, and of a model."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import enter, org_for
from accounts.models import User
from models_app.access import model_for
from models_app.contract.services import compiled, contract_of, edit_contract
from models_app.forms import ContractForm, ModelDraftForm, add_refusal
from models_app.models import CustomModel
from modelstation.core.errors import UserFacingError

READ_FROM = "requirement objective policy examples success_criteria metric test_rows"


@login_required
@require_POST
def contract_preview(request: HttpRequest, org: str) -> HttpResponse:
    """Render what the criteria typed so far are read as. Fields not valid yet count as empty."""
    org_for(request, org)
    form = ModelDraftForm(request.POST)
    form.is_valid()
    typed = {name: form.cleaned_data.get(name) for name in READ_FROM.split()}
    draft = CustomModel(**{name: value for name, value in typed.items() if value})
    return render(request, "models_app/_contract_words.html", {"contract": compiled(draft)})


@login_required
@require_POST
def model_contract_preview(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Render the same while the contract of a model is edited; nothing is kept."""
    model = model_for(org_for(request, org), model_id)
    form = ContractForm(request.POST, model=model)
    form.is_valid()
    for name, value in form.cleaned_data.items():
        setattr(model, name, value)
    return render(request, "models_app/_contract_words.html", {"contract": compiled(model)})


@login_required
@require_http_methods(["GET", "POST"])
def model_contract(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    member = enter(request, org)
    model = model_for(member.org, model_id)
    form = ContractForm(request.POST or None, model=model)
    if request.method == "POST" and form.is_valid() and _is_saved(member.user, model, form):
        model.refresh_from_db()
        for item in model.contract["unread"]:
            messages.warning(request, f"“{item['sentence']}” will not be measured. {item['hint']}")
        messages.success(request, "The contract is saved. It is frozen when the build begins.")
        return redirect("model", org, model.id)
    context = {"model": model, "form": form, "contract": contract_of(model)}
    return render(request, "models_app/model_contract.html", context)


def _is_saved(actor: User, model: CustomModel, form: ContractForm) -> bool:
    try:
        edit_contract(actor=actor, model=model, changes=form.cleaned_data)
    except UserFacingError as error:
        add_refusal(form, error)
    return not form.errors
