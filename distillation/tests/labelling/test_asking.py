"""What is asked first: spread at the beginning, then uncertain and unlike what was asked."""

import numpy as np
import pytest

from distillation.labelling.asking import RANDOM_EVERY, asking_order

RNG = np.random.default_rng(7)


def groups(sizes, dimensions=8):
    """Unit vectors around as many axes."""
    rows = []
    for axis, size in enumerate(sizes):
        rows.append(np.eye(dimensions)[axis] + RNG.normal(size=(size, dimensions)) * 0.02)
    every = np.vstack(rows).astype(np.float32)
    return every / np.linalg.norm(every, axis=1, keepdims=True)


def test_the_first_answers_are_spread_over_the_groups_the_fullest_first():
    vectors = groups([30, 3, 10, 20])
    group_of = np.repeat([0, 1, 2, 3], [30, 3, 10, 20])
    first = asking_order(vectors, [], None, 4, spread_first=4)
    assert list(group_of[first]) == [0, 3, 2, 1]


def test_a_group_that_was_asked_is_not_asked_before_the_others():
    vectors = groups([20, 20, 20])
    asked = [0, 21]
    [row] = asking_order(vectors, asked, None, 1, spread_first=3)
    assert row >= 40


def test_an_uncertain_input_far_from_what_was_asked_comes_first():
    vectors = np.eye(4, dtype=np.float32)
    probabilities = np.array([[0.5, 0.5], [0.99, 0.01], [0.6, 0.4], [0.9, 0.1]])
    assert asking_order(vectors, [0], probabilities, 2, spread_first=0) == [2, 3]


def test_a_twin_of_what_was_asked_comes_last_however_uncertain():
    vectors = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    probabilities = np.array([[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]])
    assert asking_order(vectors, [0], probabilities, 2, spread_first=0) == [2, 1]


def test_nothing_is_asked_twice_and_every_open_input_has_its_turn():
    vectors = groups([12, 12])
    asked = [1, 5, 13]
    order = asking_order(vectors, asked, None, 100, spread_first=8)
    assert sorted([*order, *asked]) == list(range(24))
    assert asking_order(vectors, list(range(24)), None, 5, spread_first=2) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_every_fifth_is_drawn_and_not_chosen(seed):
    vectors = groups([60, 60])
    probabilities = np.tile([0.9, 0.1], (120, 1))
    probabilities[60:] = [0.5, 0.5]
    picked = asking_order(vectors, [0, 61], probabilities, 50, spread_first=0, seed=seed)
    drawn = picked[RANDOM_EVERY - 1 :: RANDOM_EVERY]
    assert sum(row < 60 for row in drawn) >= 2  # among the sure ones, which no rule would choose
