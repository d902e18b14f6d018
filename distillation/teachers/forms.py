"""Forms of teachers and of what they are asked to do."""

from typing import Any

from django import forms
from django.forms.models import model_to_dict

from accounts.models import Organization
from distillation.models import SourceDataset
from distillation.teachers.rows import MOST_AT_ONCE, MOST_COUNTED, PRICE, Teacher, TeacherRun
from distillation.teachers.services import MOST_ROWS, Budget, RunDraft
from models_app.models import FoundationModel

UNCHANGED = "Left empty: the stored key stays."


class TeacherForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="What you call it.")
    kind = forms.ChoiceField(label="What it is", choices=Teacher.Kind.choices)
    base_url = forms.CharField(
        label="Base URL",
        max_length=500,
        required=False,
        widget=forms.TextInput(
            attrs={"placeholder": "https://api.example.com/v1", "spellcheck": "false"}
        ),
        help_text="Of an OpenAI-compatible endpoint; it usually ends with /v1.",
    )
    model_name = forms.CharField(
        label="Model", max_length=200, required=False, help_text="As the endpoint calls it."
    )
    api_key = forms.CharField(
        label="API key",
        max_length=400,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Kept encrypted, never shown again.",
    )
    base = forms.ModelChoiceField(
        FoundationModel.objects.none(),
        required=False,
        empty_label="–",
        help_text="Of a base of this installation: it needs no address and no key.",
    )
    prompt_price = forms.DecimalField(
        label="Price of a million prompt tokens", min_value=0, **PRICE, initial=0
    )
    completion_price = forms.DecimalField(
        label="Price of a million answer tokens", min_value=0, **PRICE, initial=0
    )
    currency = forms.RegexField(r"^[A-Z]{3}$", initial="USD", help_text="Three letters.")
    requests_per_minute = forms.IntegerField(min_value=1, max_value=100_000, initial=60)
    max_concurrent = forms.IntegerField(
        label="Requests at a time", min_value=1, max_value=MOST_AT_ONCE, initial=1
    )
    terms = forms.CharField(
        label="Terms on its outputs",
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="What its provider says on training with its outputs. Stands in dataset cards.",
    )

    def __init__(self, *args: Any, teacher: Teacher | None = None, **kwargs: Any) -> None:
        if teacher is not None:
            stored = model_to_dict(teacher)
            stored.pop("api_key")
            kwargs.setdefault("initial", stored)
        super().__init__(*args, **kwargs)
        installed = FoundationModel.objects.filter(is_installed=True)
        self.fields["base"].queryset = installed  # type: ignore[attr-defined]
        if teacher is not None:
            self.fields["api_key"].help_text = UNCHANGED

    def changes(self) -> dict[str, Any]:
        """Return the fields as sent; an empty key is none."""
        fields = dict(self.cleaned_data)
        return fields if fields["api_key"] else {k: v for k, v in fields.items() if k != "api_key"}


class RunForm(forms.Form):
    teacher = forms.ModelChoiceField(Teacher.objects.none(), empty_label=None)
    action = forms.ChoiceField(label="What to do", choices=TeacherRun.Action.choices)
    rows = forms.IntegerField(min_value=1, max_value=MOST_ROWS, initial=200)
    inputs = forms.CharField(
        label="Inputs to label",
        required=False,
        max_length=2_000_000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="One a line. Only to label.",
    )
    source = forms.ModelChoiceField(
        SourceDataset.objects.none(),
        required=False,
        empty_label="–",
        help_text="Whose rows are rewritten or judged.",
    )
    max_requests = forms.IntegerField(
        label="At most requests", min_value=1, max_value=MOST_COUNTED, required=False
    )
    max_tokens = forms.IntegerField(
        label="At most tokens", min_value=1, max_value=MOST_COUNTED, required=False
    )
    max_cost = forms.DecimalField(label="At most money", min_value=0, **PRICE, required=False)

    def __init__(self, *args: Any, org: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        teachers = Teacher.objects.visible_to(org)
        sources = SourceDataset.objects.visible_to(org).ready()
        self.fields["teacher"].queryset = teachers  # type: ignore[attr-defined]
        self.fields["source"].queryset = sources  # type: ignore[attr-defined]

    @property
    def draft(self) -> RunDraft:
        said = self.cleaned_data
        lines = [line.strip() for line in said["inputs"].splitlines()]
        return RunDraft(
            action=said["action"],
            rows=said["rows"],
            inputs=tuple(line for line in lines if line) if said["action"] == "label" else (),
            source=said["source"],
            budget=Budget(said["max_requests"], said["max_tokens"], said["max_cost"]),
        )
