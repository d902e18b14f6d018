"""What was understood, in sentences for the person who wrote the requirement.
Try it: pytest distillation/tests/pipeline/understand/test_explain.py
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from distillation.pipeline.types import IntentSpec
from distillation.pipeline.understand.json_schema import keys_of
from distillation.pipeline.understand.languages import NAMES

SHOWN = 8

_TASKS = {
    "extract_json": "It reads facts out of each input and answers with one JSON object.",
    "sql": "It writes one SQL statement for each input.",
    "number": "It works out a number for each input.",
    "generate": "It writes a text for each input.",
}


class Line(NamedTuple):
    what: str
    sentence: str


def explain(intent: IntentSpec) -> list[Line]:
    language = NAMES.get(intent.language, intent.language)
    spoken = f"are in {language}" if language else "may be in any language"
    lines = [
        Line("Task", _TASKS.get(intent.task_kind) or _labelling(intent)),
        Line("Examples", _outside(intent)),
        Line("Keys", _keys(intent) if intent.task_kind == "extract_json" else ""),
        Line("Form", _form(intent)),
        Line("Length", _length(intent)),
        Line("Language", f"Inputs {spoken}."),
        Line("Search", _search(intent)),
    ]
    return [line for line in lines if line.sentence]


def _labelling(intent: IntentSpec) -> str:
    known = len(intent.labels)
    if intent.labels_closed:
        return f"It labels each input with one of {known} labels: {_some(intent.labels)}."
    total = f"one of {intent.label_count} labels" if intent.label_count else "one label"
    if not known:
        return (
            f"It labels each input with {total}. None is known yet: they are learned from the"
            " sources."
        )
    are = "is" if known == 1 else "are"
    return (
        f"It labels each input with {total}; {known} {are} known from your examples"
        f" ({_some(intent.labels)}), the others are learned from the sources."
    )


def _outside(intent: IntentSpec) -> str:
    if not intent.examples_outside:
        return ""
    named = ", ".join(f"“{answer}”" for answer in intent.examples_outside[:SHOWN])
    return f"Answers of your examples that are none of the labels: {named}. Put either right."


def _keys(intent: IntentSpec) -> str:
    schema = intent.json_schema or {}
    keys = keys_of(schema) or intent.json_keys
    if not keys:
        return "No keys are known yet: they are learned from the sources."
    parts = [f"Its keys are {_some(keys)}"]
    if required := schema.get("required"):
        every = len(required) == len(keys)
        parts.append("all of them must be there" if every else f"{_some(required)} must be there")
    if schema.get("additionalProperties") is False:
        parts.append("other keys are refused")
    return f"{'; '.join(parts)}."


def _form(intent: IntentSpec) -> str:
    if intent.task_kind == "number" and "####" in intent.answer_pattern:
        return "The working is shown; the last line is #### and the number."
    if intent.task_kind == "number" and intent.answer_pattern:
        return "The answer is the number alone."
    return ""


def _length(intent: IntentSpec) -> str:
    low, high = intent.answer_min_chars, intent.answer_max_chars
    if intent.task_kind == "classify":
        return ""
    if low <= 1:
        return f"Answers have at most {high:,} characters."
    return f"Answers have between {low:,} and {high:,} characters."


def _search(intent: IntentSpec) -> str:
    """Which texts rows are compared with."""
    counts = Counter(query.origin for query in intent.queries)
    inputs = counts["example input"]
    if not inputs:
        return "Rows are looked for by the words of your requirement alone: examples would help."
    examples = "your example" if inputs == 1 else f"your {inputs} examples"
    return f"Rows are looked for that resemble your requirement and {examples}."


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
