"""What a page may be asked for: which rows of a dataset or source, how a file is read, and what is
done to rows.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django import forms
from django.db.models import QuerySet

from distillation.curation.distributions import Facets
from distillation.curation.row_filter import RowFilter, row_filter, sorted_rows
from distillation.curation.services import MAX_ANSWER_CHARS, answer_shape
from distillation.imports.reading.preview import Preview
from distillation.imports.reading.readers import READERS
from distillation.imports.reading.shapes import ColumnMapping
from distillation.imports.services import ImportDraft, name_from_file
from distillation.models import DatasetRow, DatasetVersion
from distillation.pipeline.licenses import OWN_DATA, UNKNOWN
from modelstation.core.errors import UserFacingError

LICENSES = [
    OWN_DATA, UNKNOWN, "Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0",
    "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "ODC-By-1.0", "ODbL-1.0", "PDDL-1.0", "GPL-3.0-only",
]  # fmt: skip

SORT_NAMES = {
    "": "In their order",
    "-score": "Best score first",
    "score": "Lowest score first",
    "-length": "Longest answer first",
    "length": "Shortest answer first",
    "source": "By source",
    "answer": "By answer",
}
LABELS_OFFERED = 300


class ConfirmNameForm(forms.Form):
    """Typing the name of a thing is the consent to its end."""

    typed = forms.CharField(label="Type the name of the source to confirm", max_length=80)

    def __init__(self, data: Any, *, name: str) -> None:
        super().__init__(data)
        self.name = name
        self.fields["typed"].widget.attrs.update(autocomplete="off", placeholder=name)

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self.name:
            raise forms.ValidationError(f"That is not its name. Type “{self.name}”.")
        return typed


class PushForm(forms.Form):
    repo_id = forms.CharField(
        label="Repository",
        max_length=200,
        help_text="namespace/name; it is made if it is not there yet.",
        widget=forms.TextInput(
            attrs={"placeholder": "acme/support-tickets", "spellcheck": "false"}
        ),
    )
    is_private = forms.BooleanField(
        label="Private: only members of the namespace see it", required=False, initial=True
    )


class RowFilterForm(forms.Form):
    """Rows of one dataset by words and by what is told of them. Nothing asked for: all of them."""

    q = forms.CharField(required=False, label="Search", max_length=200)
    split = forms.ChoiceField(required=False, label="Split")
    source = forms.ChoiceField(required=False, label="Source")
    answer = forms.ChoiceField(required=False, label="Answer")
    license = forms.ChoiceField(required=False, label="Licence")
    decision = forms.ChoiceField(required=False, label="Decision")
    edited = forms.TypedChoiceField(
        required=False, label="Edited", coerce=lambda value: value == "yes", empty_value=None
    )
    sort = forms.ChoiceField(required=False, label="Sort", choices=list(SORT_NAMES.items()))

    def __init__(self, data: Any, *, facets: Facets, labels: Mapping[str, int]) -> None:
        super().__init__(data)
        splits = facets.by("split")
        ordered = {split: splits.get(split, 0) for split in DatasetRow.Split.values}
        self._offer("split", "All splits", ordered)
        self._offer("source", "All sources", facets.by("source_name"))
        self._offer("license", "All licences", facets.by("license"))
        decided = {name: facets.by("decision").get(name, 0) for name in DatasetRow.Decision.values}
        self._offer("decision", "Kept and refused", decided)
        edited = {"yes": facets.edited, "no": facets.total - facets.edited}
        self._offer("edited", "Edited or not", edited)
        self._offer_answers(labels)
        words = {"type": "search", "placeholder": "Search input and answer"}
        self.fields["q"].widget.attrs.update(words)

    def _offer_answers(self, labels: Mapping[str, int]) -> None:
        if not labels:
            del self.fields["answer"]
            return
        asked = self.data.get("answer", "")  # which the last deed may have taken from all rows
        offered = dict(list(labels.items())[:LABELS_OFFERED])
        self._offer(
            "answer", "All answers", offered | ({asked: labels.get(asked, 0)} if asked else {})
        )

    def _offer(self, name: str, everything: str, counts: Mapping[str, int]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        known = {key: f"{key} ({counts[key]:,})" for key in counts if key}
        field.choices = [("", everything), *known.items()]

    @property
    def row_filter(self) -> RowFilter:
        """Values that this dataset does not have are shown as errors, and filter nothing."""
        self.is_valid()
        return row_filter(self.cleaned_data)

    def shown(self, rows: QuerySet[DatasetRow]) -> QuerySet[DatasetRow]:
        return sorted_rows(self.row_filter.applied(rows), self.cleaned_data.get("sort", ""))


class RowForm(forms.Form):
    """One row by hand. What fits is decided by the deed; its errors find their fields."""

    input = forms.CharField(widget=forms.Textarea(attrs={"rows": 6}), max_length=MAX_ANSWER_CHARS)
    answer = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=MAX_ANSWER_CHARS)

    def __init__(self, data: Any = None, *, row: DatasetRow) -> None:
        super().__init__(data, initial={"input": row.input, "answer": row.answer})
        if labels := closed_labels(row.version):
            known = dict.fromkeys([*labels, row.answer])
            self.fields["answer"] = forms.ChoiceField(choices=[(name, name) for name in known])


def closed_labels(version: DatasetVersion) -> tuple[str, ...]:
    shape = answer_shape(version)
    return shape.labels if shape is not None else ()


class ImportForm(forms.Form):
    """What is said of a file. ImportDraft decides what is valid; its errors find their fields."""

    source = forms.CharField(
        label="Name of the source",
        max_length=80,
        help_text="In every dataset its rows are known by it.",
    )
    license = forms.CharField(
        label="Licence",
        max_length=80,
        initial=OWN_DATA,
        widget=forms.TextInput(attrs={"list": "license-names", "autocomplete": "off"}),
        help_text="Of rows that state none. Choose one, or write its name; “unknown” keeps them "
        "out of datasets unless your policy lets them in.",
    )
    task = forms.CharField(
        label="What the rows are for",
        required=False,
        max_length=200,
        help_text="A few words, such as “route a support ticket”. They help to find the rows.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            self._make_draft(cleaned)
        return cleaned

    def _make_draft(self, cleaned: dict[str, Any]) -> None:
        try:
            self.draft = ImportDraft(**self.said(cleaned))
        except UserFacingError as error:
            self.refuse(error)

    def said(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        return cleaned

    def refuse(self, error: UserFacingError) -> None:
        field = error.param if error.param in self.fields else None
        self.add_error(field, f"{error.message} {error.hint}".strip())


class UploadForm(ImportForm):
    file = forms.FileField(
        max_length=300,
        widget=forms.FileInput(attrs={"accept": ",".join([*READERS, ".gz"])}),
    )
    field_order = ["file", "source", "license", "task"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["source"].required = False
        self.fields["source"].help_text = "Left empty, it is the name of the file."

    def said(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        said = {name: value for name, value in cleaned.items() if name != "file"}
        return said | {"source": said["source"] or name_from_file(cleaned["file"].name)}


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


def told_of(draft: ImportDraft, mapping: ColumnMapping | str | None) -> dict[str, Any]:
    """What the form begins with: what was said, else the columns that were found."""
    told = asdict(draft)
    if isinstance(mapping, ColumnMapping) and not draft.user:
        told |= {"user": mapping.user, "assistant": mapping.assistant}
        told |= {"system": mapping.system, "context": mapping.context}
    return told
