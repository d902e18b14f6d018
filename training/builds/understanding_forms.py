"""The forms in which a person puts right what was understood. `edits_from` alone decides what is
valid; its errors find their fields.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.forms.boundfield import BoundField

from distillation.label_map import LabelLine
from distillation.pipeline.types import TASK_KINDS, Requirement
from distillation.pipeline.understand.explain import Line, explain
from distillation.pipeline.understand.intent import edits_from, understand
from distillation.pipeline.understand.languages import NAMES
from models_app.forms import LinesField
from models_app.understanding import as_shown, corrections
from modelstation.lm.json_schema import MAX_CHARS, SchemaRefused, parse_schema

PREFIX = "intent"  # the form stands beside that of the new model
Data = Mapping[str, Any] | None
JSON_AREA = {"rows": 6, "class": "mono", "spellcheck": "false"}


class SchemaField(forms.CharField):
    """A JSON object, indented as people read it."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return json.dumps(value, indent=2, ensure_ascii=False)
        return "" if value is None else value

    def clean(self, value: Any) -> Any:
        try:
            return parse_schema(super().clean(value))
        except SchemaRefused as error:
            raise forms.ValidationError(f"{error}.") from error


class IntentForm(forms.Form):
    """Filled in with what was understood; an emptied field goes back to that."""

    task_kind = forms.ChoiceField(label="Kind of task", choices=list(TASK_KINDS.items()))
    labels = LinesField(
        label="Allowed labels",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One per line, where inputs are labelled. All of them: no other is allowed then. "
        "Left empty, those of your examples are kept and others are learned from the sources.",
    )
    json_schema = SchemaField(
        label="JSON Schema",
        required=False,
        max_length=MAX_CHARS,
        widget=forms.Textarea(attrs=JSON_AREA),
        help_text="Of the answers, where they are JSON. Rows that do not fit it are refused.",
    )
    answer_min_chars = forms.IntegerField(
        label="Shortest answer", required=False, min_value=1, help_text="In characters."
    )
    answer_max_chars = forms.IntegerField(
        label="Longest answer", required=False, min_value=1, help_text="In characters."
    )
    language = forms.ChoiceField(
        label="Language of the inputs",
        required=False,
        choices=[("", "Any"), *sorted(NAMES.items(), key=lambda language: language[1])],
    )
    system_prompt = forms.CharField(
        required=False,
        max_length=4_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Stands in every training row, in the evaluation, and in calls that bring none: "
        "short is fast.",
    )

    def __init__(
        self, data: Data = None, *, requirement: Requirement, corrected: Mapping[str, Any]
    ) -> None:
        """`corrected` is what was put right before, which the fields show: see `corrected`."""
        self.requirement = requirement
        edits = edits_from(corrected.get("intent_edits", {}), is_stored=True)
        self.intent = understand(requirement, edits)
        shown = as_shown(self.intent)
        shown["labels"] = "\n".join(shown["labels"])
        shown["system_prompt"] = corrected.get("system_prompt") or self.intent.system_prompt
        super().__init__(data, initial=shown, prefix=PREFIX)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        low, high = cleaned.get("answer_min_chars"), cleaned.get("answer_max_chars")
        if low and high and high < low:
            self.add_error("answer_max_chars", "This must not be less than the shortest answer.")
        for name in ("labels", "json_schema"):
            try:
                edits_from({name: cleaned.get(name) or None})
            except ValueError as error:
                self.add_error(name, f"{error}.")
        return cleaned

    @property
    def lines(self) -> list[Line]:
        return explain(self.intent)

    @property
    def corrected(self) -> dict[str, Any]:
        """What differs from what is understood; a field with an error counts as not corrected.

        `system_prompt` is empty when it is the compiled one.
        """
        self.is_valid()
        edits = corrections(self.requirement, self.intent.task_kind, self.cleaned_data)
        prompt = str(self.cleaned_data.get("system_prompt", "")).replace("\r\n", "\n")
        is_compiled = prompt == self.intent.system_prompt
        return {"intent_edits": edits, "system_prompt": "" if is_compiled else prompt}


class LabelMapForm(forms.Form):
    """One choice for each line of a page of the table, by the name of its field."""

    def __init__(
        self, data: Data = None, *, lines: Mapping[str, LabelLine], labels: Sequence[str]
    ) -> None:
        super().__init__(data)
        self.lines = lines
        for name, line in lines.items():
            offered = dict.fromkeys([*labels, *filter(None, [line.mapped_to])])
            self.fields[name] = forms.ChoiceField(
                label=f"“{line.label}” of {line.source} becomes",
                required=False,
                choices=[("", "– left out –"), *((label, label) for label in offered)],
                initial=line.mapped_to,
            )

    @property
    def rows(self) -> list[tuple[LabelLine, BoundField]]:
        return [(line, self[name]) for name, line in self.lines.items()]

    @property
    def chosen(self) -> dict[tuple[str, str], str]:
        return {line.key: self.cleaned_data[name] for name, line in self.lines.items()}
