"""A linear head on stored vectors: what it proposes for each input, and how often it is right.

    head = fit_head(vectors, labels, seed_vectors, seed_labels)
    head.probabilities(others)  # (n, labels)

No torch: vectors are stored when inputs come in. Whatever is estimated comes from answers that the
head did not see (cross-validation), and never from a seed: a name of a label, an example.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
STRENGTHS = (3.0, 10.0, 30.0)  # of C, the inverse of the penalty
FOLDS = 5
MAX_ITERATIONS = 200
MOST_CHOSEN_BY = 1_000  # answers that choose C; more change nothing and cost time


@dataclass(frozen=True)
class Head:
    """`held_out` has, for each answer, the probabilities of a head that did not see it."""

    labels: tuple[str, ...]
    basis: Floats  # (rank, dimensions): the weights lie in the span of the rows learned from
    model: Any
    held_out: Floats  # (answers, labels)

    def probabilities(self, vectors: Vectors) -> Floats:
        return _spread(self.model, vectors @ self.basis.T, self.labels)


def fit_head(
    vectors: Vectors,
    answers: Sequence[str],
    seed_vectors: Vectors,
    seed_answers: Sequence[str],
) -> Head | None:
    """Learn from answers (rows of `vectors`) and seeds. Return None where one label is known."""
    labels = tuple(sorted({*answers, *seed_answers}))
    if len(labels) < 2:
        return None
    every = np.vstack([vectors, seed_vectors]).astype(np.float64)
    basis = _basis(every)
    inputs, targets = every @ basis.T, np.array([*answers, *seed_answers])
    strength, held_out = _cross_validated(inputs, targets, len(answers), labels)
    return Head(labels, basis, _fit(inputs, targets, strength), held_out)


def _basis(rows: Floats) -> Floats:
    """An orthonormal basis of the rows' span, exact for an L2 penalty and a tenth of the work."""
    if len(rows) >= rows.shape[1]:
        return np.eye(rows.shape[1])
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    result: Floats = directions[sizes > 1e-9 * sizes[0]]
    return result


def _cross_validated(
    inputs: Floats, targets: npt.NDArray[Any], answered: int, labels: tuple[str, ...]
) -> tuple[float, Floats]:
    """Return the C of the least loss on held-out answers, and their probabilities under it."""
    if answered < FOLDS:
        return STRENGTHS[1], np.full((answered, len(labels)), 1 / len(labels))
    strengths = STRENGTHS if answered <= MOST_CHOSEN_BY else STRENGTHS[1:2]
    truth = [labels.index(target) for target in targets[:answered]]
    tried = [(C, _held_out(inputs, targets, answered, labels, C)) for C in strengths]
    return min(tried, key=lambda each: _loss(each[1], truth))


def _held_out(
    inputs: Floats, targets: npt.NDArray[Any], answered: int, labels: tuple[str, ...], C: float
) -> Floats:
    folds = fold_of(targets[:answered])
    result = np.zeros((answered, len(labels)))
    for fold in range(FOLDS):
        held = folds == fold
        learned = np.concatenate([~held, np.ones(len(targets) - answered, dtype=bool)])
        if len(set(targets[learned])) < 2:
            result[held, labels.index(targets[learned][0])] = 1
            continue
        head = _fit(inputs[learned], targets[learned], C)
        result[held] = _spread(head, inputs[:answered][held], labels)
    return result


def fold_of(targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Deal the answers of each label to the folds in turn, in a shuffled order."""
    order = np.random.default_rng(0).permutation(len(targets))
    by_label = order[np.argsort(targets[order], kind="stable")]
    folds = np.empty(len(targets), dtype=np.int64)
    folds[by_label] = np.arange(len(targets)) % FOLDS
    return folds


def _loss(probabilities: Floats, truth: Sequence[int]) -> float:
    said = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(said, 1e-3)).mean())


def _fit(inputs: Floats, targets: npt.NDArray[Any], C: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    head = LogisticRegression(C=C, class_weight="balanced", max_iter=MAX_ITERATIONS)
    return head.fit(inputs, targets)


def _spread(model: Any, inputs: Floats, labels: tuple[str, ...]) -> Floats:
    """Probabilities over all labels: those that this head never saw get zero."""
    result = np.zeros((len(inputs), len(labels)))
    if len(inputs):
        columns = [labels.index(label) for label in model.classes_]
        result[:, columns] = model.predict_proba(inputs)
    return result


def label_counts(answers: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    """How often each label was answered, in the order of the labels, then those outside them."""
    counts = Counter(answers)
    return {label: counts.pop(label, 0) for label in labels} | dict(counts.most_common())
