from typing import Any

from django import forms

from models_app.webhook_models import WebhookEvent

LABELS = {
    WebhookEvent.SUCCEEDED: "succeeded",
    WebhookEvent.FAILED: "failed",
    WebhookEvent.CANCELLED: "was cancelled",
}


class PeriodForm(forms.Form):
    start = forms.DateField(
        label="From", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    end = forms.DateField(
        label="To", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )


class WebhookForm(forms.Form):
    name = forms.CharField(max_length=80, required=False, help_text="What you call it.")
    url = forms.CharField(
        label="URL",
        max_length=500,
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
    )
    events = forms.MultipleChoiceField(
        label="Send when a build",
        choices=[(event.value, label) for event, label in LABELS.items()],
        initial=WebhookEvent.values,
        widget=forms.CheckboxSelectMultiple,
    )


class WebhookChangesForm(WebhookForm):
    is_enabled = forms.BooleanField(label="Turned on", required=False)

    def changes(self, endpoint: Any) -> dict[str, Any]:
        """What differs from the endpoint: an unchanged URL need not be reachable now."""
        asked = self.cleaned_data
        return {name: value for name, value in asked.items() if getattr(endpoint, name) != value}
