"""What to ask, where it is in doubt: the choices that are likeliest, what was understood first.

The limits were chosen on the development part of the collection, so that most of what is wrong is
asked about and little of what is right: `python -m benchmarks.understanding` counts both.
"""

from collections.abc import Callable, Sequence

from distillation.pipeline.types import (
    TASK_KINDS,
    Choice,
    IntentEdits,
    IntentSpec,
    Question,
)
from distillation.pipeline.understand.decide import spelled
from distillation.pipeline.understand.json_schema import keys_of, learn_schema
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.lists.scoring import Reading
from distillation.pipeline.understand.reading import Read
from distillation.pipeline.understand.task_kind import json_object

SURE_OF_KIND = 0.69
SURE_OF_LABELS = 0.85
SURE_OF_KEYS = 0.85
SURE_OF_NONE = 0.97
CLEARLY_OPEN = 0.5  # below, that a list is meant which is not taken
LIKELY = 0.02  # below, a choice is not offered
MAX_CHOICES = 4
SHOWN_NAMES = 12


def questions(seen: Read, intent: IntentSpec, edits: IntentEdits) -> tuple[Question, ...]:
    """Return what should be confirmed. A field that a person has set is not asked about."""
    about: dict[str, Callable[[Read, IntentSpec], Question | None]] = {
        "task_kind": _about_kind,
        "labels": _about_labels,
        "json_schema": _about_keys,
    }
    set_by_hand = {name for name in about if getattr(edits, name) is not None}
    if edits.labels or (seen.kind == "extract_json" and edits.json_schema):
        set_by_hand.add("task_kind")  # a person who lists labels has said so
    asked = (ask(seen, intent) for name, ask in about.items() if name not in set_by_hand)
    return tuple(question for question in asked if question)


def _about_kind(seen: Read, intent: IntentSpec) -> Question | None:
    if seen.kinds[seen.kind] >= SURE_OF_KIND:
        return None
    likely = sorted(TASK_KINDS, key=lambda kind: -seen.kinds[kind])
    kinds = [kind for kind in likely[:3] if kind == seen.kind or seen.kinds[kind] >= LIKELY]
    choices = tuple(Choice(TASK_KINDS[kind], {"task_kind": kind}) for kind in kinds)
    return Question("task_kind", "What should the model do with each input?", choices)


def _about_labels(seen: Read, intent: IntentSpec) -> Question | None:
    if intent.task_kind != "classify":
        return None
    best = seen.best("labels")
    if intent.labels_closed and (outside := _outside(seen, intent)):
        named = ", ".join(f"“{answer}”" for answer in outside)
        sentence = f"Your examples answer {named}, which is not among the labels. What is right?"
        whole = (*intent.labels, *outside)
        return Question(
            "labels", sentence, (_labels(intent.labels), _labels(whole), *_others(seen, intent))
        )
    sure = best.probability >= SURE_OF_LABELS if best else _none(seen.labels) >= SURE_OF_NONE
    if best and not intent.labels_closed:  # the examples alone, or a sample of the labels
        sure, best = best.probability < CLEARLY_OPEN, None
    if sure:
        return None
    others = _others(seen, intent)
    if best is None and not others:
        return None
    first = _labels(intent.labels) if best else Choice("Others, or not known yet")
    return Question("labels", "Are these all the labels it may answer with?", (first, *others))


def _outside(seen: Read, intent: IntentSpec) -> tuple[str, ...]:
    known = {label_key(label) for label in intent.labels}
    answers = dict.fromkeys(example.output.strip() for example in seen.requirement.examples)
    return tuple(answer for answer in answers if label_key(answer) not in known)


def _others(seen: Read, intent: IntentSpec) -> tuple[Choice, ...]:
    lists = [
        spelled(seen, reading.candidate.names).names
        for reading in seen.labels
        if reading.probability >= LIKELY
    ]
    other = [names for names in lists if set(names) != set(intent.labels)]
    return tuple(_labels(names) for names in other[: MAX_CHOICES - 1])


def _labels(names: Sequence[str]) -> Choice:
    return Choice(_some(names), {"labels": list(names)})


def _about_keys(seen: Read, intent: IntentSpec) -> Question | None:
    best = seen.best("keys")
    if intent.task_kind != "extract_json":
        return None
    if best.probability >= SURE_OF_KEYS if best else _none(seen.keys) >= SURE_OF_NONE:
        return None
    understood = keys_of(intent.json_schema or {})
    likely = [r.candidate.names for r in seen.keys if r.probability >= LIKELY]
    other = [names for names in likely if set(names) != set(understood)]
    first = (
        Choice(_some(understood), {"json_schema": intent.json_schema})
        if understood
        else (Choice("Others, or not known yet"))
    )
    choices = [first, *(_keys(seen, names) for names in other[: MAX_CHOICES - 1])]
    if len(choices) == 1 and not understood:
        return None
    return Question("json_schema", "Are these the keys of its answers?", tuple(choices))


def _keys(seen: Read, names: Sequence[str]) -> Choice:
    objects = [
        value
        for example in seen.requirement.examples
        if (value := json_object(example.output)) is not None
    ]
    return Choice(_some(names), {"json_schema": learn_schema(objects, names)})


def _none(found: Sequence[Reading]) -> float:
    return 1 - sum(reading.probability for reading in found)


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
