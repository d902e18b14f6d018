"""What is wrong with a row by itself: its form, its language, orders hidden in it. No Django."""

import re

from distillation.pipeline.choose.filters import Shape
from distillation.pipeline.types import IntentSpec
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.languages import language_of
from distillation.teachers.filtering.executed import DOES_NOT_RUN, runs
from distillation.teachers.filtering.rows import TaughtRow

SHAPE, LANGUAGE, BLANK = "not in the asked form", "in another language", "blank"
INJECTION = "prompt_injection"
# Orders to a model rather than a text of the task: taken, and flagged for a person to look at.
_INJECTION = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:previous|above|prior|all|earlier|your)\b.{0,30}"
    r"\b(?:instructions?|prompts?|rules?|orders?|messages?)\b"
    r"|\b(?:reveal|print|repeat|show)\b.{0,30}\bsystem prompt\b"
    r"|<\|(?:im_start|im_end|system|endoftext)\|>|\[/?INST\]|\byou are now\b.{0,30}\b(?:an?|in)\b"
    r"|<script\b",
    re.IGNORECASE | re.DOTALL,
)


class FirstLook:
    def __init__(self, intent: IntentSpec) -> None:
        self._intent, self._shape = intent, Shape(intent)
        self._labels = {label_key(label): label for label in intent.labels}

    def look(self, row: TaughtRow) -> None:
        """Refuse the row, or flag it, by what it says alone."""
        if not row.input.strip() or not row.output.strip():
            row.refuse(BLANK)
        elif reason := self._misshapen(row.output):
            row.refuse(SHAPE, reason)
        elif self._intent.task_kind == "sql" and runs(row.input, row.output) is False:
            row.refuse(DOES_NOT_RUN)
        elif not self._speaks(row.input):
            row.refuse(LANGUAGE)
        if _INJECTION.search(f"{row.input}\n{row.output}"):
            row.flags = (INJECTION,)

    def _misshapen(self, output: str) -> str:
        if self._intent.task_kind == "classify" and self._intent.labels_closed:
            return "" if output in self._labels.values() else "no label of the task"
        return "" if self._shape.fits(output) else "its form is not that of the task"

    def _speaks(self, text: str) -> bool:
        wanted = self._intent.language
        return not wanted or language_of(text) in ("", wanted)
