"""What the organisation used: tokens per day and model, and per token for who manages it."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import enter, manages
from models_app.usage.services import Period, period_of, usage_by, usage_in_all
from models_app.webhooks.forms import PeriodForm
from modelstation.core.errors import UserFacingError


@login_required
@require_GET
def usage(request: HttpRequest, org: str) -> HttpResponse:
    membership = enter(request, org)
    form = PeriodForm(request.GET or None)
    period = _period(form)
    context = {
        "form": form if form.errors else PeriodForm(initial=vars(period)),
        "period": period,
        "rows": usage_by(membership.org, period, "day", "model"),
        "models": usage_by(membership.org, period, "model"),
        "tokens": usage_by(membership.org, period, "token") if manages(membership) else [],
        "total": usage_in_all(membership.org, period),
    }
    return render(request, "models_app/usage.html", context)


def _period(form: PeriodForm) -> Period:
    """Return the usual one where none was named, or none that there is."""
    if form.is_valid():
        try:
            return period_of(form.cleaned_data["start"], form.cleaned_data["end"])
        except UserFacingError as error:
            form.add_error("start", error.message)
    return period_of(None, None)
