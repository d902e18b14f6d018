"""What is taken over stays under the level, and how much the estimate promises is true."""

import numpy as np
import pytest

from distillation.labelling.estimate import NEEDED_ANSWERS, estimate
from distillation.labelling.head import FOLDS, fit_head, fold_of

LABELS = ("a", "b", "c")
NONE = np.zeros((0, 12), dtype=np.float32)


def planted(rows, wrong, seed):
    """Vectors that give their label away, and labels of which a share is not what they give."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    vectors = np.eye(12)[truth] + rng.normal(size=(rows, 12)) * 0.25
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    changed = rng.random(rows) < wrong
    truth[changed] = (truth[changed] + rng.integers(1, 3, changed.sum())) % 3
    return vectors, np.array(LABELS)[truth]


def taken_over(rows, answered, wrong, seed, level=0.1):
    """Return the estimate, and the share of wrong ones among what it takes."""
    vectors, truth = planted(rows, wrong, seed)
    head = fit_head(vectors[:answered], list(truth[:answered]), NONE, [])
    chances = head.probabilities(vectors[answered:])
    result = estimate(head, list(truth[:answered]), chances, level)
    proposals = np.array(head.labels)[chances.argmax(axis=1)]
    rows_taken = list(result.take_over.rows)
    is_wrong = proposals != truth[answered:]
    return result, float(is_wrong[rows_taken].mean()) if rows_taken else 0.0, is_wrong


def test_rows_that_the_head_gets_right_are_taken_over():
    result, error, _ = taken_over(400, 80, wrong=0.0, seed=1)
    assert len(result.take_over.rows) > 250
    assert error <= result.take_over.error.high <= 0.1


@pytest.mark.parametrize("wrong", [0.15, 0.3])
def test_with_labels_that_nobody_can_learn_nothing_above_the_level_is_taken(wrong):
    """One answer in six, or in three, is not what its input says: no group of inputs is safe."""
    for seed in range(6):
        result, _, _ = taken_over(400, 80, wrong=wrong, seed=seed)
        assert not result.take_over.rows
        assert "Answer more, or allow more errors" in result.take_over.reason
        assert result.take_over.left_out == 320


def test_at_the_edge_the_real_error_is_rarely_above_the_level():
    """Planted noise near the level: what is taken is above it in at most one draw of ten."""
    errors = [taken_over(500, 120, wrong=0.06, seed=seed)[1] for seed in range(20)]
    assert sum(error > 0.1 for error in errors) <= 2


def test_the_interval_of_the_accuracy_holds_the_real_one():
    held = 0
    for seed in range(20):
        result, _, is_wrong = taken_over(400, 100, wrong=0.2, seed=seed)
        held += result.accuracy.low <= 1 - is_wrong.mean() <= result.accuracy.high
    assert held >= 16


def test_a_lower_level_takes_fewer():
    sizes = [
        len(taken_over(400, 80, wrong=0.03, seed=3, level=level)[0].take_over.rows)
        for level in (0.02, 0.1, 0.2)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_few_answers_are_no_estimate_and_one_label_is_no_head():
    vectors, truth = planted(50, 0, 0)
    few = NEEDED_ANSWERS - 1
    head = fit_head(vectors[:few], list(truth[:few]), NONE, [])
    assert estimate(head, list(truth[:few]), head.probabilities(vectors[few:]), 0.1) is None
    assert fit_head(vectors[:5], ["a"] * 5, NONE, []) is None


def test_seeds_are_learned_from_and_never_measured_on():
    vectors, truth = planted(40, 0, 0)
    seeds = np.eye(12, dtype=np.float32)[:3]
    head = fit_head(vectors[:6], list(truth[:6]), seeds, list(LABELS))
    assert head.labels == LABELS
    assert head.held_out.shape == (6, 3)


def test_the_folds_share_each_label_out():
    folds = fold_of(np.array(["a"] * 10 + ["b"] * 5))
    assert sorted(folds[:10]) == sorted([*range(FOLDS)] * 2)
    assert sorted(folds[10:]) == [*range(FOLDS)]
