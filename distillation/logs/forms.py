from typing import Any

from django import forms

from distillation.logs.services import LogFilter
from modelstation.core.errors import UserFacingError

MOST_NUMBER = 2**31 - 1


class LogFilterForm(forms.Form):
    version = forms.IntegerField(
        min_value=1,
        max_value=MOST_NUMBER,
        required=False,
        widget=forms.NumberInput(attrs={"placeholder": "Version"}),
    )
    metadata = forms.CharField(
        required=False,
        max_length=600,
        label="Label",
        widget=forms.TextInput(attrs={"placeholder": "Label: key, or key=value"}),
    )
    text = forms.CharField(
        required=False,
        max_length=200,
        label="Holds",
        widget=forms.TextInput(attrs={"placeholder": "Question or answer holds"}),
    )

    def chosen(self) -> LogFilter:
        """Return the filter; all of them where the form is wrong."""
        said: dict[str, Any] = self.cleaned_data if self.is_valid() else {}
        key, _, value = said.get("metadata", "").partition("=")
        return LogFilter(
            said.get("version"), key.strip(), value.strip(), said.get("text", "").strip()
        )


def chosen_or_refused(form: LogFilterForm) -> LogFilter:
    if not form.is_valid():
        name, problems = next(iter(form.errors.items()))
        raise UserFacingError(str(problems[0]), param=str(name))
    return form.chosen()
