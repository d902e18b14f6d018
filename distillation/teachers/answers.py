"""What teachers answer, read strictly: JSON of the asked shape, in a code fence or not. No Django
inside."""

import json
import re
from typing import Any

from distillation.pipeline.types import Example
from distillation.teachers.prompts import Prompt

MOST_TEXT_CHARS = 20_000  # of one input or output
_FENCE = re.compile(r"^\s*```[\w-]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


class Unusable(Exception):
    """The answer is of no use; the sentence says why."""


def rows_of(prompt: Prompt, text: str) -> list[Example]:
    """Return the rows of an answer. Fewer than asked are welcome, none are not."""
    items = _items(text, "rows")[: prompt.count]
    rows = [
        Example(item["input"].strip(), _written(item["output"]))
        for item in items
        if isinstance(item, dict) and isinstance(item.get("input"), str) and "output" in item
    ]
    if not rows:
        raise Unusable("it holds no rows of input and output")
    return [row for row in rows if len(row.input) + len(row.output) <= MOST_TEXT_CHARS]


def outputs_of(prompt: Prompt, text: str) -> list[str]:
    return [_written(item) for item in _counted(prompt, text)]


def verdicts_of(prompt: Prompt, text: str) -> list[bool]:
    items = _counted(prompt, text)
    if not all(isinstance(item, bool) for item in items):
        raise Unusable("its verdicts are not all true or false")
    return items


def _counted(prompt: Prompt, text: str) -> list[Any]:
    items = _items(text, prompt.purpose)
    if len(items) != prompt.count:
        raise Unusable(f"it holds {len(items)} {prompt.purpose} instead of {prompt.count}")
    return items


def _items(text: str, name: str) -> list[Any]:
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        raise Unusable("it is no JSON") from None
    items = value.get(name) if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise Unusable(f"it has no list of {name}")
    return items


def _written(value: Any) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
