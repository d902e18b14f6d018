"""What people bring and decide while they label."""

from django import forms

from distillation.imports.reading.readers import READERS
from distillation.labelling.reading import TEXT_FILE
from distillation.labelling.services import LEVELS
from distillation.limits import TASK_CHARS

PASTED_CHARS = 4_000_000


class InputsForm(forms.Form):
    inputs = forms.CharField(
        label="Inputs, one per line",
        required=False,
        max_length=PASTED_CHARS,
        widget=forms.Textarea(attrs={"rows": 6}),
    )
    file = forms.FileField(
        label="Or a file",
        required=False,
        widget=forms.ClearableFileInput(
            attrs={"accept": ",".join([TEXT_FILE, *READERS, ".gz"])},
        ),
        help_text="A text with one input per line, or a table of which one column holds them.",
    )
    column = forms.CharField(
        label="Column",
        required=False,
        max_length=TASK_CHARS,
        help_text="Of a table; without one it is found by its name and content.",
    )

    def clean(self) -> None:
        super().clean()
        if not self.errors and not (self.cleaned_data["inputs"] or self.cleaned_data["file"]):
            self.add_error("inputs", "Paste some inputs, or choose a file.")


class TakeOverForm(forms.Form):
    level = forms.TypedChoiceField(
        label="Errors allowed",
        coerce=float,
        choices=[(level, f"at most {level:.0%}") for level in LEVELS],
        help_text="Among what is taken over.",
    )
