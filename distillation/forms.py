"""What a page may be asked for: which rows of a dataset, which rows of a source."""

import json
from typing import Any

from django import forms
from django.db.models import Func, QuerySet, TextField

from distillation.models import DatasetRow, DatasetVersion


class SpokenText(Func):
    """What user and assistant say in a row; the system prompt is the same in all of them."""

    template = (
        """jsonb_path_query_array(%(expressions)s, '$[*] ? (@.role != "system").content')::text"""
    )
    output_field = TextField()


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
    """Rows of one dataset by split, by source, and by words. Nothing asked for: all of them."""

    q = forms.CharField(required=False, label="Search", max_length=200)
    split = forms.ChoiceField(required=False, label="Split")
    source = forms.ChoiceField(required=False, label="Source")

    def __init__(self, data: Any, *, version: DatasetVersion) -> None:
        super().__init__(data)
        splits = {split: version.split_counts.get(split, 0) for split in DatasetRow.Split.values}
        self._offer("split", "All splits", splits)
        self._offer("source", "All sources", version.source_counts)
        words = {"type": "search", "placeholder": "Search input and answer"}
        self.fields["q"].widget.attrs.update(words)

    def _offer(self, name: str, everything: str, counts: dict[str, int]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", everything), *((key, f"{key} ({counts[key]:,})") for key in counts)]

    def filtered(self, rows: QuerySet[DatasetRow]) -> QuerySet[DatasetRow]:
        """Values that this dataset does not have are shown as errors, and filter nothing."""
        self.is_valid()
        if split := self.cleaned_data.get("split"):
            rows = rows.filter(split=split)
        if source := self.cleaned_data.get("source"):
            rows = rows.filter(source_name=source)
        if words := self.cleaned_data.get("q"):
            written = json.dumps(words, ensure_ascii=False)[
                1:-1
            ]  # as quotes and newlines stand in JSON
            rows = rows.alias(text=SpokenText("messages")).filter(text__icontains=written)
        return rows
