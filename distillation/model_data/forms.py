"""Own rows beside a model: a file or a pasted table, and which of its columns hold what."""

from dataclasses import replace
from typing import Any

from django import forms

from distillation.imports.forms import draft_with
from distillation.imports.reading.preview import Preview
from distillation.imports.reading.readers import READERS
from distillation.imports.services import ImportDraft
from distillation.limits import ORIGIN_CHARS
from modelstation.core.errors import UserFacingError

PREFIX = "rows"
MOST_PASTED = 2_000_000
COLUMNS = (("user", "Input"), ("context", "Put below the input"), ("assistant", "Answer"))


class OwnRowsForm(forms.Form):
    """Where to take own rows from; empty: there are none."""

    file = forms.FileField(
        label="A file with your rows",
        required=False,
        max_length=ORIGIN_CHARS,
        widget=forms.FileInput(attrs={"accept": ",".join([*READERS, ".gz"])}),
        help_text="CSV, TSV, Excel, JSONL, JSON or Parquet: a column with the input, one with the "
        "answer. Their names do not matter; you see how they are read before anything is stored.",
    )
    pasted = forms.CharField(
        label="Or paste a table",
        required=False,
        strip=False,
        max_length=MOST_PASTED,
        widget=forms.Textarea(
            attrs={
                "rows": 4,
                "class": "mono",
                "spellcheck": "false",
                "placeholder": "my drain is blocked\tplumbing\nno light in the hall\telectrical",
            }
        ),
        help_text="Straight from a spreadsheet, or lines of CSV or JSON.",
    )

    def __init__(self, data: Any = None, files: Any = None) -> None:
        super().__init__(data, files, prefix=PREFIX)

    @property
    def has_rows(self) -> bool:
        return bool(self.cleaned_data.get("file") or self.cleaned_data.get("pasted", "").strip())


class ColumnsForm(forms.Form):
    """Which columns of an upload hold input and answer: what was guessed, to be changed."""

    def __init__(self, data: Any = None, *, preview: Preview, draft: ImportDraft) -> None:
        shown = draft_with(draft, preview.mapping)
        super().__init__(data, initial=vars(shown), prefix=PREFIX)
        self._draft = draft
        names = [(column, column) for column in preview.columns]
        is_chat = isinstance(preview.mapping, str)
        for name, label in COLUMNS:
            first = "None" if name == "context" else "Found by itself" if is_chat else "Choose…"
            self.fields[name] = forms.ChoiceField(
                label=label, choices=[("", first), *names], required=False
            )

    def read_as(self) -> ImportDraft:
        """Return how the file is to be read. Raise ValidationError for half a choice."""
        if not self.is_bound or not self.is_valid():
            return self._draft
        chosen = {name: self.cleaned_data[name] for name, _ in COLUMNS}
        try:
            return replace(self._draft, **chosen)
        except UserFacingError as error:
            self.add_error(error.param if error.param in self.fields else None, str(error.message))
            return self._draft
