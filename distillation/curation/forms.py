"""Which rows of a dataset are shown, and one row by hand."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet

from distillation.curation.distributions import Facets
from distillation.curation.row_filter import RowFilter, row_filter, sorted_rows
from distillation.curation.services import answer_shape
from distillation.limits import SEARCH_CHARS, TEXT_CHARS
from distillation.models import DatasetRow, DatasetVersion

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


class RowFilterForm(forms.Form):
    """Rows of one dataset by their words and facts. Nothing chosen: all of them."""

    q = forms.CharField(required=False, label="Search", max_length=SEARCH_CHARS)
    split = forms.ChoiceField(required=False, label="Split")
    source = forms.ChoiceField(required=False, label="Source")
    answer = forms.ChoiceField(required=False, label="Answer")
    license = forms.ChoiceField(required=False, label="Licence")
    decision = forms.ChoiceField(required=False, label="Decision")
    edited = forms.TypedChoiceField(
        required=False, label="Edited", coerce=lambda value: value == "yes", empty_value=None
    )
    labelled_by = forms.ChoiceField(required=False, label="Labelled by")
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
        self._offer_labellers(facets.by("labelled_by"))
        words = {"type": "search", "placeholder": "Search input and answer"}
        self.fields["q"].widget.attrs.update(words)

    def _offer_labellers(self, counts: Mapping[str, int]) -> None:
        said = {name: rows for name, rows in counts.items() if name}
        if not said:
            del self.fields["labelled_by"]
            return
        self._offer("labelled_by", "Labelled by all", said)

    def _offer_answers(self, labels: Mapping[str, int]) -> None:
        if not labels:
            del self.fields["answer"]
            return
        offered = dict(list(labels.items())[:LABELS_OFFERED])
        if requested := self.data.get("answer"):  # the last action may have taken it from all rows
            offered[requested] = labels.get(requested, 0)
        self._offer("answer", "All answers", offered)

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
    """One row by hand. What fits is decided by the service; its errors find their fields."""

    input = forms.CharField(widget=forms.Textarea(attrs={"rows": 6}), max_length=TEXT_CHARS)
    answer = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=TEXT_CHARS)

    def __init__(self, data: Any = None, *, row: DatasetRow) -> None:
        super().__init__(data, initial={"input": row.input, "answer": row.answer})
        if labels := closed_labels(row.version):
            known = dict.fromkeys([*labels, row.answer])
            self.fields["answer"] = forms.ChoiceField(choices=[(name, name) for name in known])


def closed_labels(version: DatasetVersion) -> tuple[str, ...]:
    shape = answer_shape(version)
    return shape.labels if shape is not None else ()
