"""What an answer to an input of a model must be, and how it is read from a form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from distillation.limits import TEXT_CHARS
from distillation.pipeline.choose.filters import fits_shape
from distillation.pipeline.text import clip
from distillation.pipeline.types import IntentSpec
from distillation.pipeline.understand.labels import is_label, label_key, merge_labels
from models_app.models import CustomModel
from models_app.understanding import understood
from modelstation.core.errors import UserFacingError

# 1 to 9, then letters; u, s and x are undo, skip and “not usable”.
KEYS = "123456789abcdefghijklmnopqrtvwyz"
NAMED_LABELS = 12
TOO_LONG = f"The answer has more than {TEXT_CHARS:,} characters."


@dataclass(frozen=True)
class AnswerForm:
    """How answers are given: by label, by the fields of a JSON object, or as text."""

    intent: IntentSpec
    labels: tuple[str, ...] = ()

    @property
    def is_classified(self) -> bool:
        return self.intent.task_kind == "classify"

    @property
    def fields(self) -> tuple[str, ...]:
        """The keys of the answer, where it is a JSON object of which they are known."""
        properties = (self.intent.json_schema or {}).get("properties", {})
        is_json = self.intent.task_kind == "extract_json"
        return (tuple(properties) or self.intent.json_keys) if is_json else ()

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Each label with the key that stands for it; empty beyond the keys that there are."""
        keys = [*KEYS, *[""] * len(self.labels)]
        return list(zip(keys, self.labels, strict=False))

    def fitting(self, answer: str) -> str:
        """Return the answer as it is stored. Raise for one that the requirement does not allow."""
        said = answer.replace("\r\n", "\n").strip()
        if not said:
            raise _unfit("The answer is empty.", "Or mark the input as not usable.")
        if len(said) > TEXT_CHARS:
            raise _unfit(TOO_LONG, "Shorten it.")
        if self.is_classified:
            return self._label(said)
        if self.intent.task_kind == "extract_json" and not fits_shape(said, self.intent):
            keys = ", ".join(self.fields)
            hint = f"Its keys are {keys}." if keys else "Write one object in braces."
            raise _unfit("The answer is not a JSON object of the wanted form.", hint)
        return said

    def _label(self, said: str) -> str:
        known = {label_key(label): label for label in self.labels}
        if label := known.get(label_key(said)):
            return label
        if self.intent.labels_closed:
            names = ", ".join(self.labels[:NAMED_LABELS])
            hint = f"Allowed are {names}. What was understood of the requirement can be edited."
            raise _unfit(f"“{clip(said, 60)}” is none of the labels of this model.", hint)
        if not is_label(said):
            raise _unfit(f"“{clip(said, 60)}” is no label.", "Write a few words without a stop.")
        return said

    def from_fields(self, posted: Mapping[str, str]) -> str:
        """Return the JSON object that the fields `field-KEY` of a form make."""
        return json.dumps(
            {key: _value(posted.get(f"field-{key}", "")) for key in self.fields},
            ensure_ascii=False,
        )

    def to_fields(self, answer: str) -> list[tuple[str, str]]:
        """Return each key with its value as it stands in a field, empty where there is none."""
        try:
            stored = json.loads(answer or "{}")
        except ValueError:
            stored = {}
        values = stored if isinstance(stored, dict) else {}
        return [(key, _shown(values.get(key))) for key in self.fields]


def answer_form(model: CustomModel) -> AnswerForm:
    """As the requirement is understood now, with the labels that people added by answering."""
    intent = understood(model)
    if intent.task_kind != "classify" or intent.labels_closed:
        return AnswerForm(intent, intent.labels)
    said = model.inputs.answered().order_by().values_list("answer", flat=True).distinct()
    examples = [example["output"] for example in model.examples]
    known = merge_labels(intent.labels, [label for label in examples if is_label(label)])
    return AnswerForm(intent, merge_labels(known, sorted(said)))


def _value(text: str) -> object:
    """Read a number, a list, an object, true, false or null as such; anything else is text."""
    said = text.replace("\r\n", "\n").strip()
    if not said:
        return None
    try:
        return json.loads(said)
    except ValueError:
        return said


def _shown(value: object) -> str:
    """Write a text that would be read as something else in its quotes."""
    if value is None:
        return ""
    if isinstance(value, str) and _value(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _unfit(message: str, hint: str) -> UserFacingError:
    return UserFacingError(message, code="answer_does_not_fit", param="answer", hint=hint)
