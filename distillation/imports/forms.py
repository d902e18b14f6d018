"""How a file is read, as a person says it."""

from dataclasses import replace
from typing import Any

from django import forms

from distillation.imports.reading.preview import Preview
from distillation.imports.reading.readers import READERS
from distillation.imports.reading.shapes import ColumnMapping
from distillation.imports.services import ImportDraft, name_from_file
from distillation.limits import NAME_CHARS, ORIGIN_CHARS, TASK_CHARS
from distillation.pipeline.licenses import OWN_DATA, UNKNOWN
from models_app.forms import add_refusal
from modelstation.core.errors import UserFacingError

LICENSES = [
    OWN_DATA, UNKNOWN, "Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0",
    "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "ODC-By-1.0", "ODbL-1.0", "PDDL-1.0", "GPL-3.0-only",
]  # fmt: skip


class ImportForm(forms.Form):
    """What is said of a file. ImportDraft decides what is valid; its errors find their fields."""

    source = forms.CharField(
        label="Name of the source",
        max_length=NAME_CHARS,
        help_text="In every dataset its rows are known by it.",
    )
    license = forms.CharField(
        label="Licence",
        max_length=NAME_CHARS,
        initial=OWN_DATA,
        widget=forms.TextInput(attrs={"list": "license-names", "autocomplete": "off"}),
        help_text="Of rows that state none. Choose one, or write its name; “unknown” keeps them "
        "out of datasets unless your policy lets them in.",
    )
    task = forms.CharField(
        label="What the rows are for",
        required=False,
        max_length=TASK_CHARS,
        help_text="A few words, such as “route a support ticket”. They help to find the rows.",
    )

    def clean(self) -> None:
        super().clean()
        if not self.errors:
            try:
                self.draft = self.written_draft()
            except UserFacingError as error:
                add_refusal(self, error)

    def written_draft(self) -> ImportDraft:
        return ImportDraft(**self.cleaned_data)


class UploadForm(ImportForm):
    file = forms.FileField(
        max_length=ORIGIN_CHARS,
        widget=forms.FileInput(attrs={"accept": ",".join([*READERS, ".gz"])}),
    )
    field_order = ["file", "source", "license", "task"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["source"].required = False
        self.fields["source"].help_text = "Left empty, it is the name of the file."

    def written_draft(self) -> ImportDraft:
        facts = dict(self.cleaned_data)
        file = facts.pop("file")
        return ImportDraft(**facts | {"source": facts["source"] or name_from_file(file.name)})


class ConfirmForm(ImportForm):
    append = forms.BooleanField(
        label="Add the rows to my source of this name, if there is one", required=False
    )
    clean_markup = forms.BooleanField(
        label="Clean the markup",
        required=False,
        help_text="Tags and entities become plain text. Code that is the content stays.",
    )
    redact = forms.BooleanField(
        label="Redact personal data",
        required=False,
        help_text="E-mail addresses, phone, card and account numbers and keys become their kind in "
        "brackets.",
    )

    def __init__(self, *args: Any, preview: Preview, **options: Any) -> None:
        super().__init__(*args, **options)
        names = [(column, column) for column in preview.columns]
        automatic = [("", "Find it by its name" if preview.mapping else "Choose…")]
        none = [("", "None")]
        for name, label in (("user", "Question"), ("assistant", "Answer")):
            self._offer(name, label, automatic + names)
            self.fields[name].required = preview.mapping is None
        self._offer("system", "System prompt", none + names)
        self._offer("context", "Context, put below the question", none + names)
        self._offer("task_column", "Task", none + names)

    def _offer(self, name: str, label: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name] = forms.ChoiceField(label=label, required=False, choices=choices)

    @property
    def column_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("user", "assistant", "system", "context", "task_column")]


def draft_with(draft: ImportDraft, mapping: ColumnMapping | str | None) -> ImportDraft:
    """Return what the form begins with: what was said, else the columns that fit by their names."""
    if draft.user or not isinstance(mapping, ColumnMapping):
        return draft
    names = ("user", "assistant", "system", "context")
    return replace(draft, **{name: getattr(mapping, name) for name in names})
