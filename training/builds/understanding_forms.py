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

ANSWER = "answer_"  # the field of the choices of a question
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
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "data-chips": ""}),
        help_text="Where inputs are labelled, all of them: no other is allowed then. Each may say "
        "what an input of it is like; where labels are lines of text, after a colon. "
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
        shown["labels"] = "\n".join(_lines_of(shown["labels"], shown["label_descriptions"]))
        shown["system_prompt"] = corrected.get("system_prompt") or self.intent.system_prompt
        super().__init__(data, initial=shown, prefix=PREFIX)
        for question in self.intent.questions:
            self.fields[f"{ANSWER}{question.field}"] = forms.TypedChoiceField(
                label=question.sentence,
                required=False,
                coerce=int,
                empty_value=None,
                choices=[(n, choice.text) for n, choice in enumerate(question.choices)],
                widget=forms.RadioSelect,
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "labels" in cleaned:
            labels, notes = _labels_of(cleaned["labels"])
            cleaned |= {"labels": labels, "label_descriptions": notes}
        for question in self.intent.questions:
            chosen = cleaned.get(f"{ANSWER}{question.field}")
            if chosen is not None and question.field not in self.changed_data:
                cleaned |= question.choices[chosen].intent_edits
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
        edits |= self._confirmed()
        prompt = str(self.cleaned_data.get("system_prompt", "")).replace("\r\n", "\n")
        is_compiled = prompt == self.intent.system_prompt
        return {"intent_edits": edits, "system_prompt": "" if is_compiled else prompt}

    def _confirmed(self) -> dict[str, Any]:
        """Return the choices that a person made, also of what was understood: they hold then."""
        chosen = {
            question.field: self.cleaned_data.get(f"{ANSWER}{question.field}")
            for question in self.intent.questions
            if question.field not in self.changed_data
        }
        return {
            name: value
            for question in self.intent.questions
            if (number := chosen.get(question.field)) is not None
            for name, value in question.choices[number].intent_edits.items()
        }

    @property
    def asked(self) -> dict[str, BoundField]:
        """The questions, by the field that they are about."""
        return {
            question.field: self[f"{ANSWER}{question.field}"] for question in self.intent.questions
        }


def _lines_of(labels: Sequence[str], notes: Mapping[str, str]) -> list[str]:
    return [f"{label}: {notes[label]}" if notes.get(label) else label for label in labels]


def _labels_of(lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Read lines of "label" or "label: what an input of it is like"."""
    parts = [line.partition(": ") for line in lines]
    labels = list(dict.fromkeys(" ".join(label.split()) for label, _, _ in parts))
    notes = {" ".join(label.split()): note.strip() for label, _, note in parts if note.strip()}
    return labels, notes


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
