from typing import Any

from django import forms

from models_app.webhooks.rows import WebhookEvent

LABELS = {
    WebhookEvent.SUCCEEDED: "succeeded",
    WebhookEvent.FAILED: "failed, or did not pass",
    WebhookEvent.CANCELLED: "was cancelled",
}


def _day(label: str) -> forms.DateField:
    """Use a browser's own picker: it shows nothing that is not written as ISO has it."""
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    return forms.DateField(label=label, required=False, widget=widget)


class PeriodForm(forms.Form):
    start = _day("From")
    end = _day("To")


class WebhookForm(forms.Form):
    name = forms.CharField(
        max_length=80, required=False, help_text="What you call it; else its URL stands for it."
    )
    url = forms.CharField(
        label="URL",
        max_length=500,
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
        help_text="Where your program takes a POST of JSON; on the public internet.",
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
        """Return what differs from the endpoint: an unchanged URL need not be reachable now."""
        fields = self.cleaned_data.items()
        return {name: value for name, value in fields if getattr(endpoint, name) != value}
