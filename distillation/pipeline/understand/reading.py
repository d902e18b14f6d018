"""What a requirement's words and examples say, with how surely; once for all that look at it.

read(Requirement("Sort mails into spam or ham.")).kinds["classify"]
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from distillation.pipeline.types import Requirement
from distillation.pipeline.understand.labels import MAX_LABEL_CHARS
from distillation.pipeline.understand.languages import identifier, language_of
from distillation.pipeline.understand.lists.features import Asked
from distillation.pipeline.understand.lists.scoring import TARGETS, Reading, readings
from distillation.pipeline.understand.lists.words import LANGUAGES, words_of_languages
from distillation.pipeline.understand.task_kind import json_object, kind_shares

UNLISTED = {"labels": 0.08, "keys": 0.02}  # counted in the collection
READ_CHARS = 8000  # of each text: labels and keys that stand later are not looked for


@dataclass(frozen=True)
class Read:
    """Probabilities: of each kind of task, and of the lists that could be the labels or keys."""

    requirement: Requirement
    known_language: str  # that it is written in, of those whose small words are known
    kinds: Mapping[str, float]
    labels: Sequence[Reading]
    keys: Sequence[Reading]

    @property
    def kind(self) -> str:
        return max(self.kinds, key=lambda kind: self.kinds[kind])

    def best(self, target: str) -> Reading | None:
        """Return the list that is meant, if any is likelier than none."""
        found = self.labels if target == "labels" else self.keys
        none = 1 - sum(reading.probability for reading in found)
        return found[0] if found and found[0].probability > none else None


@lru_cache(maxsize=64)  # a page asks several times
def read(requirement: Requirement) -> Read:
    short = readable(requirement)
    asked = asked_of(short)
    lists = {target: readings(target, asked) for target in TARGETS}
    kinds = kind_shares(short, lists, asked)
    given = {target: _given_kind(found, UNLISTED[target]) for target, found in lists.items()}
    return Read(short, asked.language, kinds, given["labels"], given["keys"])


def _given_kind(found: Sequence[Reading], unlisted: float) -> list[Reading]:
    """Return what is likely once the task is known to have labels or keys: that there is a list
    is likelier then. `unlisted` is the share of tasks without a list that are of this kind.
    """
    listed = sum(reading.probability for reading in found)
    total = listed + (1 - listed) * unlisted
    return [replace(reading, probability=reading.probability / total) for reading in found]


def task_kind(requirement: Requirement) -> str:
    """Return the likeliest kind."""
    return read(requirement).kind


def readable(requirement: Requirement) -> Requirement:
    return replace(
        requirement,
        text=_readable(requirement.text),
        objective=_readable(requirement.objective),
        policy=_readable(requirement.policy),
        system_prompt="",
    )


def _readable(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[^\S\n]+", " ", text[:READ_CHARS])).strip()


def asked_of(requirement: Requirement) -> Asked:
    texts = {
        "text": requirement.text,
        "objective": requirement.objective,
        "policy": requirement.policy,
    }
    answers = [example.output.strip() for example in requirement.examples]
    short = all(len(answer) <= MAX_LABEL_CHARS and "\n" not in answer for answer in answers)
    objects = [value for answer in answers if (value := json_object(answer)) is not None]
    return Asked(
        texts=texts,
        outputs=tuple(answers) if short and not objects else (),
        example_keys=tuple(dict.fromkeys(key for value in objects for key in value)),
        language=_known(written_in(" ".join(texts.values()))),
    )


def written_in(text: str) -> str:
    """Return the language of a requirement: of a short one, the likeliest whose words are known."""
    if sure := language_of(text):
        return sure
    counts = words_of_languages(text)
    ranks = [code for code, _ in identifier().rank(text) if code in LANGUAGES]
    return min(LANGUAGES, key=lambda code: (-counts[code], ranks.index(code))) if text else ""


def _known(language: str) -> str:
    return language if language in LANGUAGES else "en"
