"""How answers are graded, over a pair and over a whole set: what the entries of metrics.py are made
of.

A scorer turns each row into a short vector of sums (hits, predicted, expected …) and a set into one
score by adding the vectors up. A bootstrap then only has to re-weigh the vectors, for means, micro
F1 and macro F1 alike.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from numpy.typing import NDArray

from training.scoring import pairs
from training.scoring.pairs import CHRF_ORDER, exact_match, f1, normalise, overlap
from training.scoring.sql import Fixture, same_result

Floats = NDArray[np.float64]
RowScore = Callable[[str, str], float]


@dataclass(frozen=True)
class Scorer:
    """`row` grades one pair in [0, 1]; `sums` gives (n, k) addable counts; `combine` maps (..., k)
    to (...); `rows` says from the sums how many rows the score rests upon.
    """

    row: RowScore
    sums: Callable[[Sequence[str], Sequence[str]], Floats]
    combine: Callable[[Floats], Floats]
    rows: Callable[[Floats], int] = len

    def __call__(self, prediction: str, reference: str) -> float:
        return self.row(prediction, reference)

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        return float(self.combine(self.sums(predictions, references).sum(axis=0)))

    def of_rows(self, predictions: Sequence[str], references: Sequence[str]) -> list[float]:
        return [self.row(p, r) for p, r in zip(predictions, references, strict=True)]


class ExecutionAccuracy(Scorer):
    """Both queries are executed on the row's own tables; a row without tables is left out.

    It grades aligned sets only: which tables an answer is about is not seen in the answer.
    """

    def of_rows(self, predictions: Sequence[str], references: Sequence[str]) -> list[float]:
        return [float(hits) for hits in self.sums(predictions, references)[:, 0]]


# --- how rows add up ----------------------------------------------------------------------------


def of_readable(scorer: Scorer, reads: Callable[[str], bool]) -> Scorer:
    """Leave out the rows whose reference `reads` cannot read: nobody could answer them right."""

    def row(prediction: str, reference: str) -> float:
        return scorer.row(prediction, reference) if reads(reference) else 0.0

    def sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
        is_read = np.array([reads(reference) for reference in references], np.float64)[:, None]
        return np.hstack([scorer.sums(predictions, references) * is_read, is_read])

    def combine(total: Floats) -> Floats:
        return np.where(total[..., -1] > 0, scorer.combine(total[..., :-1]), 0.0)

    return Scorer(row, sums, combine, lambda counts: int(counts[:, -1].sum()))


def mean_of(row: RowScore) -> Scorer:
    def sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
        scores = [row(p, r) for p, r in zip(predictions, references, strict=True)]
        return np.column_stack([scores, np.ones(len(scores))])

    return Scorer(row, sums, _mean, _counted)


def _counted(sums: Floats) -> int:
    return int(sums[:, 1].sum())


def _mean(total: Floats) -> Floats:
    return np.asarray(total[..., 0] / np.maximum(total[..., 1], 1))


def micro_f1_of(items: Callable[[str], Counter[Any] | None]) -> Scorer:
    """F1 over all items of all rows. An unreadable answer predicts nothing; where nothing is
    expected either, it is one item too many.
    """

    def counts(prediction: str, reference: str) -> tuple[int, int, int]:
        predicted, expected = items(prediction), items(reference) or Counter()
        if predicted is None:
            return 0, int(not expected), expected.total()
        return overlap(predicted, expected)

    def sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
        both = zip(predictions, references, strict=True)
        return np.array([counts(p, r) for p, r in both], np.float64).reshape(len(references), 3)

    return Scorer(lambda p, r: f1(*counts(p, r)), sums, _micro_f1)


def _micro_f1(total: Floats) -> Floats:
    both = total[..., 1] + total[..., 2]
    return np.where(both > 0, 2 * total[..., 0] / np.maximum(both, 1), 1.0)


def label_sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
    """(n, 3·labels): hits, predicted and expected of each label that occurs among the references,
    in alphabetical order.
    """
    labels = np.array(sorted({normalise(r) for r in references}))
    expected = np.array([normalise(r) for r in references])[:, None] == labels
    predicted = np.array([normalise(p) for p in predictions])[:, None] == labels
    return np.hstack([expected & predicted, predicted, expected]).astype(np.float64)


def macro_of(combine: Callable[[Floats, Floats, Floats], Floats]) -> Scorer:
    """Mean over the labels that occur among the references; `combine` gets hits, predicted and
    expected per label.
    """

    def over_labels(total: Floats) -> Floats:
        hits, predicted, expected = np.split(total, 3, axis=-1)
        present = expected > 0
        scores = np.where(present, combine(hits, predicted, expected), 0.0).sum(axis=-1)
        return np.asarray(scores / np.maximum(present.sum(axis=-1), 1))

    return Scorer(exact_match, label_sums, over_labels)


def least_of(combine: Callable[[Floats, Floats, Floats], Floats]) -> Scorer:
    """Score by the worst label among those that occur in the references."""

    def over_labels(total: Floats) -> Floats:
        hits, predicted, expected = np.split(total, 3, axis=-1)
        scores = np.where(expected > 0, combine(hits, predicted, expected), np.inf).min(axis=-1)
        return np.where(np.isfinite(scores), scores, 0.0)

    def rarest(sums: Floats) -> int:
        return int(np.split(sums, 3, axis=-1)[2].sum(axis=0).min())

    return Scorer(exact_match, label_sums, over_labels, rarest)


def f1_of_labels(hits: Floats, predicted: Floats, expected: Floats) -> Floats:
    return np.asarray(2 * hits / np.maximum(predicted + expected, 1))


def recall_of_labels(hits: Floats, predicted: Floats, expected: Floats) -> Floats:
    return np.asarray(hits / np.maximum(expected, 1))


def chrf() -> Scorer:
    """chrF2 of a set: counts of all rows together, F averaged over the lengths (Popović 2015)."""

    def combine(total: Floats) -> Floats:
        counts = total.reshape(*total.shape[:-1], CHRF_ORDER, 3)
        hits, predicted, expected = counts[..., 0], counts[..., 1], counts[..., 2]
        used = (predicted > 0) & (expected > 0)
        scores = np.where(used, 5 * hits / np.maximum(4 * expected + predicted, 1), 0.0)
        return np.asarray(scores.sum(axis=-1) / np.maximum(used.sum(axis=-1), 1))

    def sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
        rows = [pairs.chrf_counts(p, r) for p, r in zip(predictions, references, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 3 * CHRF_ORDER)

    def row(prediction: str, reference: str) -> float:
        return float(combine(sums([prediction], [reference])[0]))

    return Scorer(row, sums, combine)


# --- scorers of what a criterion names ----------------------------------------------------------


def known_label(labels: Sequence[str]) -> Scorer:
    allowed = {normalise(label) for label in labels}
    return mean_of(lambda prediction, _: float(normalise(prediction) in allowed))


def regex(pattern: str) -> Scorer:
    compiled = re.compile(pattern)
    return mean_of(lambda prediction, _: float(compiled.search(prediction.strip()) is not None))


def json_schema(schema: Mapping[str, Any]) -> Scorer:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"The JSON schema of a criterion is not valid: {error.message}") from error
    validator = Draft202012Validator(schema)

    def fits(prediction: str, _: str) -> float:
        value = pairs.parse_json(prediction)
        return float(value is not pairs.INVALID and validator.is_valid(value))

    return mean_of(fits)


def length_within(least: int, most: float, unit: str) -> Scorer:
    return mean_of(lambda prediction, _: float(least <= pairs.length_of(prediction, unit) <= most))


def answer_share(answer: str) -> Scorer:
    return mean_of(lambda prediction, _: exact_match(prediction, answer))


def label_rate(label: str, *, among: str) -> Scorer:
    """Recall (among the rows of the label) or precision (among the answers of it)."""

    def sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
        predicted = np.array([normalise(p) == normalise(label) for p in predictions])
        expected = np.array([normalise(r) == normalise(label) for r in references])
        whole = expected if among == "references" else predicted
        return np.column_stack([predicted & expected, whole]).astype(np.float64)

    return Scorer(exact_match, sums, _mean, _counted)


def execution_accuracy(fixtures: Sequence[Fixture | None]) -> Scorer:
    def sums(predictions: Sequence[str], references: Sequence[str]) -> Floats:
        tables = list(fixtures) or [None] * len(references)
        rows = [
            (same_result(p, r, t), 1.0) if t else (0.0, 0.0)
            for p, r, t in zip(predictions, references, tables, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)

    return ExecutionAccuracy(exact_match, sums, _mean, _counted)
