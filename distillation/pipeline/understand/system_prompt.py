"""The one prompt before every row: what to do, and which labels or JSON keys an answer has.

It is computed anew for every training row and every answer, so each word costs. Where the names
are too many for that, the prompt says how many there are, and a tuned model learns them from its
rows; a base, which saw no row, is told all of them: `with_all_named`.
Try it: pytest distillation/tests/pipeline/understand/test_system_prompt.py
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from distillation.pipeline.intent_facts import IntentFacts
from distillation.pipeline.types import IntentSpec, Requirement
from distillation.pipeline.understand.labels import MIN_LABEL_ROWS
from distillation.pipeline.understand.task_kind import json_object

SYSTEM_PROMPT_TOKENS = 45  # of sentences
NAMES_TOKENS = 220  # of the labels or keys that are named after them
TOKENS_PER_WORD = 1.35  # English prose under a byte-level BPE of about 50k pieces
CHARS_PER_TOKEN = 3.0  # labels and keys: 3.2 of banking77's, 2.4 of German ones

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SAYS_WHAT_TO_DO = re.compile(
    r"\b(must|should|returns?|answers?|extracts?|classif\w*|translates?|writes?|tells?|gives?|"
    r"shows?|summar\w*|rewrites?|converts?|explains?|routed?|sorts?|labels?|tags?|only|wants?)\b",
    re.IGNORECASE,
)
_NAMES = re.compile(r"(?:\s*Answer with (?:one of|a JSON object with the keys).*)?", re.DOTALL)
_COUNTED = re.compile(r"\s*Answer with one of \d+ labels\.$")


def compile_system_prompt(
    requirement: Requirement, labels: Sequence[str] = (), keys: Sequence[str] = ()
) -> str:
    """Return the user's own prompt as it is, else a short one that ends with the names.

    Objective and policy say it best; without them, the requirement's sentences that give orders.
    """
    if requirement.system_prompt.strip():
        return requirement.system_prompt.strip()
    sentences = _sentences(f"{_closed(requirement.objective)} {_closed(requirement.policy)}")
    if not sentences:
        every = _sentences(requirement.text)
        orders = [s for s in every if _SAYS_WHAT_TO_DO.search(s)]
        sentences = orders or every
    return _with_names(_within_budget(sentences), labels, keys, NAMES_TOKENS)


def is_compiled(prompt: str, requirement: Requirement) -> bool:
    """Whether a stored prompt is of our making, whatever labels or keys it names."""
    plain = compile_system_prompt(replace(requirement, system_prompt=""))
    return prompt.startswith(plain) and _NAMES.fullmatch(prompt[len(plain) :]) is not None


def prompt_of(
    requirement: Requirement, intent: IntentSpec, answers: Sequence[str] | None = None
) -> str:
    """With the rows' `answers` once they are chosen: they say how labels and keys are spelled."""
    labels, keys = names_of(intent, answers)
    return compile_system_prompt(requirement, labels, keys)


def names_of(
    intent: IntentSpec | IntentFacts, answers: Sequence[str] | None = None
) -> tuple[Sequence[str], Sequence[str]]:
    """Return the labels or the keys, where all of them are known."""
    if intent.task_kind == "classify":
        return intent.labels if intent.labels_closed else sorted(set(answers or ())), ()
    if intent.task_kind != "extract_json":
        return (), ()
    schema = intent.json_schema or {}
    known = dict.fromkeys(schema.get("properties", {}) or intent.json_keys)
    if answers is None:  # keys known by words alone may be spelled otherwise in the rows
        return (), () if "patternProperties" in schema else tuple(known)
    found = Counter(key for answer in answers for key in json_object(answer) or {})
    return (), tuple(known | dict.fromkeys(k for k, n in found.items() if n >= MIN_LABEL_ROWS))


def with_all_named(
    prompt: str, labels: Sequence[str] = (), keys: Sequence[str] = (), *, tokens: int
) -> str:
    """Return a prompt for a model that was not trained: all names, if they take no more `tokens`
    than that.
    """
    return _with_names(_COUNTED.sub("", prompt), labels, keys, tokens)


def _with_names(said: str, labels: Sequence[str], keys: Sequence[str], tokens: int) -> str:
    names = labels or keys
    if not names or all(_is_named(name, said) for name in names):
        return said
    listed = ("; " if any("," in name for name in names) else ", ").join(names)
    if len(listed) <= tokens * CHARS_PER_TOKEN:
        what = "one of:" if labels else "a JSON object with the keys"
        return f"{said} Answer with {what} {listed}.".strip()
    return f"{said} Answer with one of {len(labels)} labels.".strip() if labels else said


def _is_named(name: str, said: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said) is not None


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
