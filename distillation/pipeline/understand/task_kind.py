"""Which kind of task a requirement describes, and how surely: learned from the collection.

Answers that are all JSON objects or all SQL say it by themselves. Else one linear layer weighs the
meaning of the words, in any of many languages, the look of the answers, and whether the text lists
labels or keys. `python -m tools.understanding.fit` makes its weights.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from distillation.pipeline.types import TASK_KINDS, Requirement
from distillation.pipeline.understand.embedding import Vectors, vectors
from distillation.pipeline.understand.labels import is_label
from distillation.pipeline.understand.lists.features import Asked
from distillation.pipeline.understand.lists.scoring import Reading, Weights, weights

SQL_PATTERN = r"(?is)^\s*(select|with|insert|update|delete)\b.*"
WORKED_NUMBER_PATTERN = r"(?s).*####\s*-?[\d.,]*\d\s*$"
PLAIN_NUMBER_PATTERN = r"^\s*-?[\d.,]*\d\s*$"
NUMBER_PATTERN = f"{WORKED_NUMBER_PATTERN}|{PLAIN_NUMBER_PATTERN}"
KINDS = tuple(TASK_KINDS)
MEANING_WEIGHT = 5.0  # of unit vectors beside scaled numbers
MAX_SENTENCES = 30
SHORT_WORDS = 3

_IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+")
_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n")
_CUES = tuple(
    re.compile(pattern)
    for pattern in (
        "json", "sql|postgres|sqlite", r"\{", "->|→", r"\{\s*[\"“']", r"\d\s*[-–]\s*\d", "[\"“„«]",
    )
)  # fmt: skip


def json_object(text: str) -> dict[str, object] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_ANSWERS: dict[str, Callable[[str], bool]] = {
    "extract_json": lambda answer: json_object(answer) is not None,
    "sql": lambda answer: re.match(SQL_PATTERN, answer) is not None,
}


def kind_shares(
    requirement: Requirement, lists: Mapping[str, Sequence[Reading]], asked: Asked
) -> dict[str, float]:
    """Return the probability of each kind."""
    answers = [example.output.strip() for example in requirement.examples]
    for kind, fits in _ANSWERS.items():
        if answers and all(map(fits, answers)):
            return {each: float(each == kind) for each in KINDS}
    shares = network_shares(kind_features(requirement, lists, asked), weights())
    likely = dict(zip(KINDS, map(float, shares), strict=True))
    if answers and all(re.match(NUMBER_PATTERN, answer) for answer in answers):
        likely |= {"number": likely["number"] + likely["generate"], "generate": 0.0}
    if answers and all(map(_IDENTIFIER.fullmatch, answers)):  # nobody writes texts in identifiers
        likely |= {"classify": likely["classify"] + likely["generate"], "generate": 0.0}
    if not all(map(is_label, answers)) and not _named(lists, asked):
        likely |= {"generate": likely["generate"] + likely["classify"], "classify": 0.0}
    return likely


def _named(lists: Mapping[str, Sequence[Reading]], asked: Asked) -> bool:
    """Say whether a list holds all answers, which may be labels of many words then."""
    return bool(asked.outputs) and any(
        asked.output_keys <= reading.candidate.key
        for reading in lists["labels"]
        if reading.candidate.place != "examples"
    )


def network_shares(x: Vectors, w: Weights) -> Vectors:
    scores = scaled(x, w) @ w["kind.w"] + w["kind.b"]
    shares = np.exp(scores - scores.max())
    result: Vectors = shares / shares.sum()
    return result


def scaled(x: Vectors, w: Weights) -> Vectors:
    result: Vectors = np.clip((x - w["kind.mean"]) / w["kind.scale"], -8, 8)
    return result


def kind_features(
    requirement: Requirement, lists: Mapping[str, Sequence[Reading]], asked: Asked
) -> Vectors:
    return np.concatenate(
        [
            _meaning(requirement) * MEANING_WEIGHT,
            np.array(
                [*_answers(requirement), *_cues(requirement), *_lists(lists, asked)], np.float32
            ),
        ]
    )


def _meaning(requirement: Requirement) -> Vectors:
    texts = (requirement.text, requirement.objective, requirement.policy)
    sentences = [part for text in texts for part in _SENTENCE.split(text) if len(part.strip()) > 3][
        :MAX_SENTENCES
    ]
    rows = vectors([requirement.text, requirement.objective or requirement.text, *sentences])
    mean = rows[2:].mean(axis=0) if len(rows) > 2 else rows[0]
    return np.concatenate([rows[0], rows[1], mean])


def _answers(requirement: Requirement) -> list[float]:
    examples = requirement.examples
    answers = [example.output.strip() or " " for example in examples]
    written = f"{requirement.text} {requirement.objective} {requirement.policy}".lower()
    if not answers:
        return [0.0] * 15
    words = [len(answer.split()) for answer in answers]

    def share(fits: Callable[[str], bool]) -> float:
        return sum(map(fits, answers)) / len(answers)

    return [
        1.0,
        share(_ANSWERS["extract_json"]),
        share(_ANSWERS["sql"]),
        share(lambda answer: re.fullmatch(r"\s*[-+]?[\d.,]*\d\s*%?", answer) is not None),
        share(lambda answer: "####" in answer),
        share(lambda answer: len(answer.split()) <= SHORT_WORDS and answer[-1] not in ".?!"),
        1 - len(set(answers)) / len(answers),
        min(max(words), 40) / 10,
        min(sum(words) / len(words), 40) / 10,
        share(lambda answer: answer[-1] in ".?!"),
        share(lambda answer: "\n" in answer),
        share(lambda answer: answer.lower() in written),
        share(lambda answer: re.search(r"[^\w\s,.'’-]", answer) is not None),
        sum(e.output.strip().lower() in e.input.lower() for e in examples) / len(answers),
        min(len(answers), 10) / 5,
    ]


def _cues(requirement: Requirement) -> list[float]:
    words = f"{requirement.text} {requirement.objective} {requirement.policy}".lower()
    return [float(cue.search(words) is not None) for cue in _CUES]


def _lists(lists: Mapping[str, Sequence[Reading]], asked: Asked) -> list[float]:
    labels, keys = lists["labels"], lists["keys"]
    best = labels[0] if labels else None
    named = next(
        (r for r in labels if r.candidate.form != "examples" and " plus" not in r.candidate.form),
        None,
    )
    shared = len(asked.output_keys & named.candidate.key) if named else 0
    return [
        best.probability if best else 0.0,
        keys[0].probability if keys else 0.0,
        shared / len(asked.output_keys) if asked.outputs else 0.0,
        float(bool(asked.outputs) and shared == len(asked.output_keys)),
        1 - sum(reading.probability for reading in labels),
        1 - sum(reading.probability for reading in keys),
    ]
