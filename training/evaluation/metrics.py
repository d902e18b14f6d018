"""How answers are graded: every metric by name, each one over a pair and over a whole set.

    python -m pytest training/tests/test_metrics.py

A metric turns each row into a short vector of sums (hits, predicted, expected …) and a set into one
score by adding the vectors up. A bootstrap then only has to re-weigh the vectors, for means, micro
F1 and macro F1 alike.
"""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer

Floats = NDArray[np.float64]
RowScore = Callable[[str, str], float]

FINAL_NUMBER = re.compile(r"####\s*(-?[\d,.]+)")
PLAIN_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")
SQL_NOT_PARSED = (
    "syntax error",
    "incomplete input",
    "unrecognized token",
    "one statement",
    "null character",
)


@dataclass(frozen=True)
class Metric:
    """`row` grades one pair in [0, 1]; `sums` gives (n, k) addable counts; `combine` maps (..., k)
    to (...).
    """

    row: RowScore
    sums: Callable[[Sequence[str], Sequence[str]], Floats]
    combine: Callable[[Floats], Floats]

    def __call__(self, prediction: str, reference: str) -> float:
        return self.row(prediction, reference)

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        return float(self.combine(self.sums(predictions, references).sum(axis=0)))


def build_metric(name: str, options: Mapping[str, Any], references: Sequence[str]) -> Metric:
    """The metric called `name`, told what it may need to know: labels, pattern or schema.
    ValueError if unknown.
    """
    if name in METRICS:
        return METRICS[name]
    if name == "known_label":
        return known_label(options.get("labels") or references)
    if name == "regex":
        return regex(str(options["pattern"]))
    if name == "json_schema":
        return json_schema(options["schema"])
    raise ValueError(f"Unknown metric {name!r}. Known are: {', '.join(metric_names())}.")


def metric_names() -> list[str]:
    return sorted([*METRICS, *NEEDS_OPTION])


# --- one pair -----------------------------------------------------------------------------------


def exact_match(prediction: str, reference: str) -> float:
    return float(normalise(prediction) == normalise(reference))


def json_equal(prediction: str, reference: str) -> float:
    """Both parse and hold the same values, whatever the order of keys; true is not 1."""
    expected, found = parse_json(reference), parse_json(prediction)
    readable = found is not INVALID and expected is not INVALID
    return float(readable and canonical(found) == canonical(expected))


def json_valid(prediction: str, reference: str) -> float:
    return float(parse_json(prediction) is not INVALID)


def token_f1(prediction: str, reference: str) -> float:
    """F1 over the multiset of white-space tokens, case kept: `-X` and `-x` are two options."""
    return f1(*overlap(Counter(prediction.split()), Counter(reference.split())))


def rouge_l_f1(prediction: str, reference: str) -> float:
    """Longest common subsequence of lower-cased words, no stemming (Lin 2004, as in the rouge-score
    package).
    """
    return float(ROUGE.score(reference, prediction)["rougeL"].fmeasure)


def final_number_match(prediction: str, reference: str) -> float:
    """The number after the last `####`; a reference without that mark is compared by its last
    number.
    """
    if FINAL_NUMBER.search(reference) is None:
        return number_match(prediction, reference)
    return same_number(FINAL_NUMBER.findall(prediction), FINAL_NUMBER.findall(reference))


def number_match(prediction: str, reference: str) -> float:
    return same_number(PLAIN_NUMBER.findall(prediction), PLAIN_NUMBER.findall(reference))


def contains(prediction: str, reference: str) -> float:
    return float(normalise(reference) in normalise(prediction))


def first_token_match(prediction: str, reference: str) -> float:
    return float(prediction.split()[:1] == reference.split()[:1])


def sql_parses(prediction: str, reference: str) -> float:
    """SQLite reads the answer as one statement.

    An unknown table or column is not a parsing matter.
    """
    if not prediction.strip():
        return 0.0
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.execute(f"EXPLAIN {prediction}")
        except (sqlite3.Error, ValueError) as error:
            return float(not any(mark in str(error) for mark in SQL_NOT_PARSED))
    return 1.0


# --- helpers ------------------------------------------------------------------------------------

INVALID = object()


def normalise(text: str) -> str:
    return text.strip().lower()


def parse_json(text: str) -> Any:
    """The value, or INVALID.

    Anything around the JSON makes it invalid: a program has to read it as it comes.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return INVALID


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def canonical(value: Any) -> str:
    return json.dumps(_same_numbers(value), sort_keys=True)


def _same_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _same_numbers(item) for key, item in value.items()}
    return [_same_numbers(item) for item in value] if isinstance(value, list) else value


def entities(text: str) -> Counter[Any] | None:
    """The set of (type, exact name) pairs of `{type: [names]}`; None when the text has another
    form.
    """
    value = parse_json(text)
    if not isinstance(value, dict):
        return None
    lists = [(kind, [names] if isinstance(names, str) else names) for kind, names in value.items()]
    if any(not isinstance(names, list) for _, names in lists):
        return None
    return Counter({(kind, str(name)): 1 for kind, names in lists for name in names})


def fields(text: str) -> Counter[Any] | None:
    """Every leaf of a JSON object as a (path, value) pair; list items share their list's path."""
    value = parse_json(text)
    return Counter(_leaves(value, ())) if isinstance(value, dict) else None


def _leaves(value: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item, (*path, "[]"))]
    return [(path, canonical(value))]


def overlap(found: Counter[Any], expected: Counter[Any]) -> tuple[int, int, int]:
    return (found & expected).total(), found.total(), expected.total()


def f1(hits: int, found: int, expected: int) -> float:
    return 1.0 if found + expected == 0 else 2 * hits / (found + expected)


def same_number(found: list[str], expected: list[str]) -> float:
    if not found or not expected:
        return 0.0
    left, right = _number(found[-1]), _number(expected[-1])
    return float(left is not None and left == right)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "").rstrip("."))
    except ValueError:
        return None


# --- a whole set --------------------------------------------------------------------------------


def mean_of(row: RowScore) -> Metric:
    def sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
        scores = [row(p, r) for p, r in zip(predictions, references, strict=True)]
        return np.column_stack([scores, np.ones(len(scores))])

    return Metric(row, sums, lambda total: total[..., 0] / np.maximum(total[..., 1], 1))


def micro_f1_of(items: Callable[[str], Counter[Any] | None]) -> Metric:
    """F1 over all items of all rows.

    An unreadable answer predicts nothing, and as a single row scores 0.
    """

    def row(prediction: str, reference: str) -> float:
        found = items(prediction)
        return 0.0 if found is None else f1(*overlap(found, items(reference) or Counter()))

    def sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
        pairs = [
            (items(p) or Counter(), items(r) or Counter())
            for p, r in zip(predictions, references, strict=True)
        ]
        return np.array([overlap(found, expected) for found, expected in pairs], dtype=np.float64)

    return Metric(row, sums, _micro_f1)


def _micro_f1(total: Floats) -> Floats:
    both = total[..., 1] + total[..., 2]
    return np.where(both > 0, 2 * total[..., 0] / np.maximum(both, 1), 1.0)


def macro_of(combine: Callable[[Floats, Floats, Floats], Floats]) -> Metric:
    """Mean over the labels that occur among the references; `combine` gets hits, predicted and
    expected per label.
    """

    def sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
        labels = np.array(sorted({normalise(r) for r in references}))
        expected = np.array([normalise(r) for r in references])[:, None] == labels
        found = np.array([normalise(p) for p in predictions])[:, None] == labels
        return np.hstack([expected & found, found, expected]).astype(np.float64)

    def over_labels(total: Floats) -> Floats:
        hits, found, expected = np.split(total, 3, axis=-1)
        present = expected > 0
        scores = np.where(present, combine(hits, found, expected), 0.0).sum(axis=-1)
        return np.asarray(scores / np.maximum(present.sum(axis=-1), 1))

    return Metric(exact_match, sums, over_labels)


def known_label(labels: Sequence[str]) -> Metric:
    allowed = {normalise(label) for label in labels}
    return mean_of(lambda prediction, _: float(normalise(prediction) in allowed))


def regex(pattern: str) -> Metric:
    compiled = re.compile(pattern)
    return mean_of(lambda prediction, _: float(compiled.search(prediction.strip()) is not None))


def json_schema(schema: Mapping[str, Any]) -> Metric:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"The JSON schema of a criterion is not valid: {error.message}") from error
    validator = Draft202012Validator(schema)
    return mean_of(lambda prediction, _: float(_fits(validator, parse_json(prediction))))


def _fits(validator: Draft202012Validator, value: Any) -> bool:
    return value is not INVALID and bool(validator.is_valid(value))


ROUGE = RougeScorer(["rougeL"], use_stemmer=False)
NEEDS_OPTION = {"known_label": "labels", "regex": "pattern", "json_schema": "schema"}
METRICS: dict[str, Metric] = {
    "exact_match": mean_of(exact_match),
    "accuracy": mean_of(exact_match),
    "macro_f1": macro_of(lambda hits, found, expected: 2 * hits / np.maximum(found + expected, 1)),
    "macro_recall": macro_of(lambda hits, found, expected: hits / np.maximum(expected, 1)),
    "json_equal": mean_of(json_equal),
    "json_valid": mean_of(json_valid),
    "entity_f1": micro_f1_of(entities),
    "field_f1": micro_f1_of(fields),
    "token_f1": mean_of(token_f1),
    "rougeL_f1": mean_of(rouge_l_f1),
    "final_number_match": mean_of(final_number_match),
    "number_match": mean_of(number_match),
    "contains": mean_of(contains),
    "first_token_match": mean_of(first_token_match),
    "sql_parses": mean_of(sql_parses),
}
