"""From what the user wrote to what to look for: task kind, answer shape, queries, system prompt.

Learned mostly from example answers, else from the words of the requirement. No model is asked.
Try it: pytest distillation/tests/test_pipeline_intent.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from distillation.pipeline.labels import is_label, label_key, listed_labels
from distillation.pipeline.types import (
    Example,
    IntentEdits,
    IntentSpec,
    LabelRule,
    Query,
    Requirement,
)

NO_EDITS = IntentEdits()
SYSTEM_PROMPT_TOKENS = 45
TOKENS_PER_WORD = 1.35  # English prose under a byte-level BPE of about 50k pieces

SQL_PATTERN = r"(?is)^\s*(select|with|insert|update|delete)\b.*"
WORKED_NUMBER_PATTERN = r"(?s).*####\s*-?[\d.,]*\d\s*$"
PLAIN_NUMBER_PATTERN = r"^\s*-?[\d.,]*\d\s*$"

# Words that name a kind of task, in the order of how little else they can mean.
_WORDS_OF_KIND = {
    "sql": r"sql|\bselect statement",
    "extract_json": r"\bjson\b|\bextract\b",
    "number": r"####|\bfinal number\b|\bcalculate\b|\barithmetic\b|\bword problem",
    "classify": r"\bclassif|\bcategor|\blabel|\brout(e|ed|ing)\b|\bintent\b|\bsentiment\b"
    r"|\bemotion\b|\bone of\b|\bwhether\b|\byes, no\b|\binto (a|one|its) (queue|class|group)",
}
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SAYS_WHAT_TO_DO = re.compile(
    r"\b(must|should|return|answer|extract|classif\w*|translate|write|tell|give|show|summar\w*|"
    r"rewrite|convert|explain|route[d]?|only|want)\b",
    re.IGNORECASE,
)


def edits_from(data: Mapping[str, Any]) -> IntentEdits:
    """What a form or the API sends. Raises ValueError naming the field."""
    known = {field.name for field in fields(IntentEdits)}
    if unknown := sorted(set(data) - known):
        raise ValueError(f"{unknown[0]} is not a field of the understanding")
    given: dict[str, Any] = dict(data)
    if given.get("labels") is not None:
        given["labels"] = tuple(dict.fromkeys(label.strip() for label in given["labels"]))
    given["label_map"] = tuple(LabelRule(**rule) for rule in given.get("label_map") or ())
    return IntentEdits(**given)


def apply_edits(intent: IntentSpec, edits: IntentEdits) -> IntentSpec:
    """The understanding with a person's corrections, which always win."""
    changed: dict[str, Any] = {
        name: value
        for name in ("json_schema", "answer_min_chars", "answer_max_chars", "language")
        if (value := getattr(edits, name)) is not None
    }
    if edits.labels is not None:
        changed |= {"labels": edits.labels, "labels_closed": True}
    return replace(intent, label_rules=edits.label_map, **changed)


def understand(requirement: Requirement, edits: IntentEdits = NO_EDITS) -> IntentSpec:
    """What is wanted, as far as the words and examples say it; `edits` win over that."""
    kind = edits.task_kind or task_kind(requirement)
    return apply_edits(_understand_as(kind, requirement), edits)


def _understand_as(kind: str, requirement: Requirement) -> IntentSpec:
    labels, closed = _labels(requirement) if kind == "classify" else ((), False)
    low, high = answer_band(kind, [e.output for e in requirement.examples])
    return IntentSpec(
        task_kind=kind,
        system_prompt=compile_system_prompt(requirement),
        queries=queries(requirement),
        task_texts=task_texts(requirement),
        labels=labels,
        labels_closed=closed,
        json_keys=_json_keys(requirement.examples) if kind == "extract_json" else (),
        answer_pattern=_answer_pattern(kind, requirement),
        answer_min_chars=low,
        answer_max_chars=high,
    )


def task_kind(requirement: Requirement) -> str:
    answers = [example.output.strip() for example in requirement.examples]
    if answers:
        return _kind_of_answers(answers, requirement)
    words = _all_words(requirement)
    for kind, pattern in _WORDS_OF_KIND.items():
        if re.search(pattern, words, re.IGNORECASE):
            return kind
    return "generate"


def _kind_of_answers(answers: Sequence[str], requirement: Requirement) -> str:
    checks: dict[str, Callable[[str], bool]] = {
        "extract_json": lambda a: json_object(a) is not None,
        "sql": lambda a: re.match(SQL_PATTERN, a) is not None,
        "number": lambda a: bool(re.match(f"{WORKED_NUMBER_PATTERN}|{PLAIN_NUMBER_PATTERN}", a)),
    }
    for kind, fits in checks.items():
        if all(fits(answer) for answer in answers):
            return kind
    return "classify" if _look_like_labels(answers, requirement) else "generate"


def _look_like_labels(answers: Sequence[str], requirement: Requirement) -> bool:
    """Short answers are labels when the words or their spelling say so, or when they repeat."""
    if not all(is_label(answer) for answer in answers):
        return False
    said = re.search(_WORDS_OF_KIND["classify"], _all_words(requirement), re.IGNORECASE)
    named = all(_IDENTIFIER.fullmatch(answer) for answer in answers)
    repeats = len({label_key(answer) for answer in answers}) <= len(answers) / 2
    listed = {label_key(name) for name in listed_labels(_all_words(requirement))}
    return bool(said) or named or repeats or {label_key(a) for a in answers} <= listed


def json_object(text: str) -> dict[str, object] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _labels(requirement: Requirement) -> tuple[tuple[str, ...], bool]:
    """The allowed labels, and whether the user listed them all."""
    shown = tuple(dict.fromkeys(example.output.strip() for example in requirement.examples))
    for text in (requirement.policy, requirement.objective, requirement.text):
        listed = listed_labels(text)
        if listed and {label_key(name) for name in shown} <= {label_key(n) for n in listed}:
            return listed, True
    return shown, False


def _json_keys(examples: Sequence[Example]) -> tuple[str, ...]:
    return tuple(sorted({key for e in examples for key in (json_object(e.output) or {})}))


def _answer_pattern(kind: str, requirement: Requirement) -> str:
    if kind == "sql":
        return SQL_PATTERN
    if kind != "number":
        return ""
    shown = [example.output for example in requirement.examples] or [_all_words(requirement)]
    return WORKED_NUMBER_PATTERN if any("####" in text for text in shown) else PLAIN_NUMBER_PATTERN


def answer_band(kind: str, answers: Sequence[str]) -> tuple[int, int]:
    """Shortest and longest answer in characters: wide around the examples, since they are few."""
    if kind == "classify":
        return 1, 80
    if not answers:
        return 1, 4000
    lengths = [len(answer.strip()) for answer in answers]
    return max(1, min(lengths) // 4), max(4 * max(lengths), 120)


def queries(requirement: Requirement) -> tuple[Query, ...]:
    found = [Query(requirement.text.strip(), "requirement")]
    for example in requirement.examples:
        found.append(Query(example.input.strip(), "example input"))
        found.append(Query(f"{example.input.strip()}\n{example.output.strip()}", "example"))
    return tuple(query for query in found if query.text)


def task_texts(requirement: Requirement) -> tuple[str, ...]:
    both = f"{requirement.objective} {requirement.policy}".strip()
    texts = (requirement.text.strip(), requirement.objective.strip(), both)
    return tuple(dict.fromkeys(text for text in texts if text))


def compile_system_prompt(requirement: Requirement) -> str:
    """One short prompt: it stands in every training row, so each word costs at every step.

    Objective and policy say it best; without them, the requirement's sentences that give orders.
    """
    if requirement.system_prompt.strip():
        return requirement.system_prompt.strip()
    sentences = _sentences(f"{_closed(requirement.objective)} {_closed(requirement.policy)}")
    if not sentences:
        every = _sentences(requirement.text)
        orders = [s for s in every if _SAYS_WHAT_TO_DO.search(s)]
        sentences = orders or every
    return _within_budget(sentences)


def _within_budget(sentences: Sequence[str]) -> str:
    budget = int(SYSTEM_PROMPT_TOKENS / TOKENS_PER_WORD)
    chosen: list[str] = []
    for sentence in sentences:
        if sum(len(s.split()) for s in [*chosen, sentence]) <= budget:
            chosen.append(sentence)
    if not chosen and sentences:
        return " ".join(sentences[0].split()[:budget])
    return " ".join(chosen)


def _closed(text: str) -> str:
    stripped = text.strip()
    return stripped if not stripped or stripped[-1] in ".!?" else f"{stripped}."


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE.split(text.strip()) if part.strip()]


def _all_words(requirement: Requirement) -> str:
    return f"{requirement.policy}\n{requirement.objective}\n{requirement.text}"
