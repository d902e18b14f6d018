"""From what the user wrote to what to look for: task kind, answer shape, queries, system prompt.

Learned mostly from example answers, else from the words of the requirement. No model is asked.
Try it: pytest distillation/tests/pipeline/understand/test_intent.py
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from distillation.pipeline.types import IntentEdits, IntentSpec, LabelRule, Query, Requirement
from distillation.pipeline.understand.answer_band import answer_band
from distillation.pipeline.understand.decide import identifiers, keys_of_words, labels_of
from distillation.pipeline.understand.json_schema import learn_schema, refuses_other_keys
from distillation.pipeline.understand.labels import MAX_LABEL_CHARS, label_key
from distillation.pipeline.understand.languages import (
    NAMES,
    language_of,
    language_of_all,
    named_language,
)
from distillation.pipeline.understand.lists.features import counted_labels
from distillation.pipeline.understand.questions import questions
from distillation.pipeline.understand.reading import Read, read, written_in
from distillation.pipeline.understand.system_prompt import prompt_of
from distillation.pipeline.understand.task_kind import (
    PLAIN_NUMBER_PATTERN,
    SQL_PATTERN,
    WORKED_NUMBER_PATTERN,
    json_object,
)
from modelstation.lm.json_schema import Schema, SchemaRefused, check_schema

NO_EDITS = IntentEdits()
MAX_DESCRIBED = 40  # labels whose descriptions rows are compared with
MAX_DESCRIPTION_CHARS = 300

MAX_CHARS = 1_000_000  # of an answer that somebody may ask for


def edits_from(data: Mapping[str, Any], *, is_stored: bool = False) -> IntentEdits:
    """Read what a form or the API sends; null: as understood. Raise ValueError naming the field.

    A schema that is stored was accepted by the rules of its day, and is not judged again.
    """
    if not isinstance(data, Mapping):
        raise ValueError("intent_edits must be an object")
    if unknown := sorted(set(data) - set(_READ)):
        known = ", ".join(_READ)
        raise ValueError(f"{unknown[0]} is not a field of the understanding: there are {known}")
    _check_storable(data)
    read = _READ | ({"json_schema": dict} if is_stored else {})
    given = {name: read[name](value) for name, value in data.items() if value is not None}
    return IntentEdits(**given)


def _check_storable(data: Mapping[str, Any]) -> None:
    """Refuse what Postgres could not keep: NUL, half a surrogate pair, NaN."""
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("intent_edits must be JSON in valid Unicode") from error
    if "\\u0000" in text:
        raise ValueError("intent_edits must not hold NUL characters")


def _read_labels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError("labels must be a list of texts")
    labels = list(dict.fromkeys(" ".join(name.split()) for name in value if name.strip()))
    if wrong := next((name for name in labels if len(name) > MAX_LABEL_CHARS), ""):
        raise ValueError(f"labels has one of more than {MAX_LABEL_CHARS} characters: {wrong[:80]}…")
    return tuple(labels)


def _read_count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_CHARS:
        raise ValueError(f"{name} must be a whole number from 1 to {MAX_CHARS:,}")
    return value


def _read_schema(value: Any) -> Schema:
    try:
        return check_schema(value)
    except SchemaRefused as error:
        raise ValueError(f"json_schema: {error}") from error


def _read_language(value: Any) -> str:
    if not isinstance(value, str) or (value and value not in NAMES):
        raise ValueError("language must be a two-letter code such as en, or empty for any")
    return value


def _read_label_map(value: Any) -> tuple[LabelRule, ...]:
    fields = {"source", "label", "mapped_to"}
    whole = isinstance(value, list | tuple) and all(
        isinstance(rule, Mapping)
        and set(rule) == fields
        and all(isinstance(text, str) for text in rule.values())
        for rule in value
    )
    if not whole:
        raise ValueError("label_map must be a list of objects with source, label and mapped_to")
    return tuple(LabelRule(**rule) for rule in value)


def _read_descriptions(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) for pair in value.items() for text in pair
    ):
        raise ValueError("label_descriptions must be an object of texts by label")
    notes = {" ".join(label.split()): " ".join(note.split()) for label, note in value.items()}
    if wrong := next((k for k, note in notes.items() if len(note) > MAX_DESCRIPTION_CHARS), ""):
        raise ValueError(
            f"label_descriptions has one of more than {MAX_DESCRIPTION_CHARS} characters: {wrong}"
        )
    return {label: note for label, note in notes.items() if label and note}


_READ: dict[str, Callable[[Any], Any]] = {
    "task_kind": str,  # checked by IntentEdits
    "labels": _read_labels,
    "json_schema": _read_schema,
    "answer_min_chars": partial(_read_count, "answer_min_chars"),
    "answer_max_chars": partial(_read_count, "answer_max_chars"),
    "language": _read_language,
    "label_map": _read_label_map,
    "label_descriptions": _read_descriptions,
}


def apply_edits(intent: IntentSpec, edits: IntentEdits) -> IntentSpec:
    """Apply a person's corrections, which always win."""
    changed: dict[str, Any] = {
        name: value
        for name in ("json_schema", "answer_min_chars", "answer_max_chars", "language")
        if (value := getattr(edits, name)) is not None
    }
    if edits.answer_max_chars is None and edits.answer_min_chars is not None:
        changed["answer_max_chars"] = max(edits.answer_min_chars, intent.answer_max_chars)
    if edits.answer_min_chars is None and edits.answer_max_chars is not None:
        changed["answer_min_chars"] = min(edits.answer_max_chars, intent.answer_min_chars)
    if edits.labels is not None:
        changed |= {"labels": edits.labels, "labels_closed": True}
    described = (
        intent.label_descriptions
        if edits.label_descriptions is None
        else (edits.label_descriptions)
    )
    labels = edits.labels if edits.labels is not None else intent.labels
    changed["label_descriptions"] = {
        label: described[label] for label in labels if described.get(label)
    }
    return replace(intent, label_rules=edits.label_map, **changed)


def understand(requirement: Requirement, edits: IntentEdits = NO_EDITS) -> IntentSpec:
    """Read what is wanted, as far as the words and examples say it; `edits` win over that."""
    seen = read(requirement)
    kind = edits.task_kind or ("classify" if edits.labels else seen.kind)
    intent = IntentSpec(
        task_kind=kind,
        system_prompt="",
        queries=queries(requirement),
        task_texts=task_texts(requirement),
        language=input_language(seen.requirement),
        answer_pattern=_answer_pattern(kind, seen.requirement),
    )
    edited = apply_edits(_with_answers(intent, seen), edits)
    described = tuple(
        Query(f"{label}: {note}", "label") for label, note in edited.label_descriptions.items()
    )
    return replace(
        edited,
        system_prompt=prompt_of(requirement, edited),
        queries=(*edited.queries, *described[:MAX_DESCRIBED]),
        examples_outside=_outside(edited, requirement),
        questions=questions(seen, edited, edits),
    )


def _with_answers(intent: IntentSpec, seen: Read) -> IntentSpec:
    """Add the form of the answers, as the kind of task has it."""
    requirement = seen.requirement
    words = _all_words(requirement)
    answers = [example.output for example in requirement.examples]
    low, high = answer_band(intent.task_kind, answers, words)
    shaped = replace(intent, answer_min_chars=low, answer_max_chars=high)
    if intent.task_kind == "classify":
        labels = labels_of(seen)
        count = 0 if labels.are_all else counted_labels(words, seen.known_language)
        hints = () if labels.names else identifiers(words)
        return replace(
            shaped,
            labels=labels.names,
            labels_closed=labels.are_all,
            label_descriptions=labels.descriptions,
            label_hints=hints,
            label_count=count,
        )
    if intent.task_kind == "extract_json":
        objects = [value for answer in answers if (value := json_object(answer)) is not None]
        keys = tuple(sorted({key for value in objects for key in value}))
        schema = learn_schema(objects, keys_of_words(seen), no_others=refuses_other_keys(words))
        return replace(shaped, json_keys=keys, json_schema=schema)
    return shaped


def _outside(intent: IntentSpec, requirement: Requirement) -> tuple[str, ...]:
    """Return the answers of examples that the closed set of labels does not hold."""
    if intent.task_kind != "classify" or not intent.labels_closed:
        return ()
    known = {label_key(label) for label in intent.labels}
    answers = dict.fromkeys(example.output.strip() for example in requirement.examples)
    return tuple(answer for answer in answers if label_key(answer) not in known)


def input_language(requirement: Requirement) -> str:
    """Of the examples' inputs, else as the words name it, else that of the requirement."""
    inputs = [example.input for example in requirement.examples]
    if inputs and len({code for text in inputs if (code := language_of(text))}) > 1:
        return ""
    words = _all_words(requirement)
    return language_of_all(inputs) or named_language(words) or written_in(words)


def _answer_pattern(kind: str, requirement: Requirement) -> str:
    if kind == "sql":
        return SQL_PATTERN
    if kind != "number":
        return ""
    shown = [example.output for example in requirement.examples] or [_all_words(requirement)]
    return WORKED_NUMBER_PATTERN if any("####" in text for text in shown) else PLAIN_NUMBER_PATTERN


def queries(requirement: Requirement) -> tuple[Query, ...]:
    result = [Query(requirement.text.strip(), "requirement")]
    for example in requirement.examples:
        result.append(Query(example.input.strip(), "example input"))
        result.append(Query(f"{example.input.strip()}\n{example.output.strip()}", "example"))
    return tuple(query for query in result if query.text)


def task_texts(requirement: Requirement) -> tuple[str, ...]:
    both = f"{requirement.objective} {requirement.policy}".strip()
    texts = (requirement.text.strip(), requirement.objective.strip(), both)
    return tuple(dict.fromkeys(text for text in texts if text))


def _all_words(requirement: Requirement) -> str:
    return f"{requirement.policy}\n{requirement.objective}\n{requirement.text}"
