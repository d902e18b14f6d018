"""The form that a source is deleted with."""

from typing import Any

from django import forms

from distillation.limits import NAME_CHARS


class ConfirmNameForm(forms.Form):
    """Typing the name of a thing is the consent to its end."""

    typed = forms.CharField(label="Type the name of the source to confirm", max_length=NAME_CHARS)

    def __init__(self, data: Any, *, name: str) -> None:
        super().__init__(data)
        self.name = name
        self.fields["typed"].widget.attrs.update(autocomplete="off", placeholder=name)

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self.name:
            raise forms.ValidationError(f"That is not its name. Type “{self.name}”.")
        return typed
