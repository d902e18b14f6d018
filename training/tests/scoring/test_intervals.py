"""Intervals hold the truth as often as they say, also for few rows and near 0 and 1."""

import numpy as np
import pytest

from training.scoring.intervals import (
    Bootstrap,
    Interval,
    difference_interval,
    median_interval,
    score_interval,
    wilson,
)
from training.scoring.metrics import build_scorer
from training.scoring.scorers import mean_of

SIMULATIONS = 200
EXACT, MACRO_F1 = build_scorer("exact_match", {}, []), build_scorer("macro_f1", {}, [])


def shares(right):
    return np.column_stack([right, np.ones(len(right))]).astype(float)


def labelled(rng, rows, quality):
    """(answers, references) of rows of five labels, right with probability `quality`."""
    expected = rng.choice(5, size=rows, p=[0.3, 0.25, 0.2, 0.15, 0.1])
    wrong = (expected + rng.integers(1, 5, size=rows)) % 5
    result = np.where(rng.random(rows) < quality, expected, wrong)
    return [str(label) for label in result], [str(label) for label in expected]


def exact_match(bootstrap, rng, rows, quality):
    return bootstrap.interval(EXACT, shares(rng.random(rows) < quality))


def macro_f1(bootstrap, rng, rows, quality):
    return bootstrap.interval(MACRO_F1, MACRO_F1.sums(*labelled(rng, rows, quality)))


def difference(bootstrap, rng, rows, quality):
    """Simulate a tuned model of `quality`, and a base that gets a fifth of its right rows wrong."""
    tuned = rng.random(rows) < quality
    base = tuned & (rng.random(rows) < 0.8)
    return bootstrap.difference(EXACT, shares(tuned), shares(base))


def true_macro_f1(quality):
    return MACRO_F1.score(*labelled(np.random.default_rng(0), 100_000, quality))


TRUTHS = {exact_match: float, macro_f1: true_macro_f1, difference: lambda quality: 0.2 * quality}


@pytest.mark.parametrize("simulate", TRUTHS)
@pytest.mark.parametrize("quality", [0.5, 0.8, 0.98])
def test_of_200_simulated_evaluations_at_least_93_percent_hold_the_truth(simulate, quality):
    truth = TRUTHS[simulate](quality)
    for rows in (30, 100, 300):
        bootstrap, rng = Bootstrap(rows, seed=1), np.random.default_rng(rows + 7)
        result = [simulate(bootstrap, rng, rows, quality) for _ in range(SIMULATIONS)]
        held = sum(interval.low <= truth <= interval.high for interval in result)
        assert held / SIMULATIONS >= 0.93, f"{rows} rows"


def test_intervals_are_not_wide_for_nothing():
    """Coverage alone would also praise an interval from 0 to 1."""
    bootstrap = Bootstrap(300, seed=1)
    interval = bootstrap.interval(EXACT, shares(np.arange(300) < 240))
    assert 0.08 < interval.high - interval.low < 0.105  # the normal approximation gives 0.0905


def test_wilson_agrees_with_the_published_example():
    """15 of 148 (Newcombe 1998): 0.0624 to 0.1605. Ours is a little wider."""
    result = wilson(15 / 148, 148)
    assert (result.low, result.high) == pytest.approx((0.0624, 0.1605), abs=0.008)


def test_a_share_has_wilsons_interval_whatever_way_it_comes():
    share = 0.9
    result = score_interval(share, share * (1 - share), 100)
    exact = wilson(share, 100)
    assert (result.low, result.high) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("right", [0, 100])
def test_rows_that_all_agree_leave_the_doubt_of_the_rule_of_three(right):
    result = Bootstrap(100, seed=0).interval(EXACT, shares(np.arange(100) < right))
    assert 0.03 < result.high - result.low < 0.05
    assert result.low <= right / 100 <= result.high


def test_graded_rows_that_all_agree_leave_doubt_too():
    graded = mean_of(lambda *_: 0.5)
    result = Bootstrap(100, seed=0).interval(graded, shares(np.full(100, 0.5)))
    assert 0.01 < result.high - result.low < 0.05


def test_a_difference_of_nothing_leaves_about_three_rows_of_doubt():
    result = difference_interval(0.0, 0.0, 100)
    assert result.low == pytest.approx(-0.03, abs=0.002)
    assert result.high == -result.low


def test_a_label_with_few_rows_is_judged_by_its_rows_alone():
    references = ["rare"] * 5 + ["common"] * 295
    metric = build_scorer("label_recall", {"label": "rare"}, references)
    result = Bootstrap(300, seed=0).interval(metric, metric.sums(references, references))
    assert result.score == 1
    assert result.low < 0.7


def test_a_score_that_no_row_counts_for_could_be_anything():
    metric = build_scorer("label_recall", {"label": "absent"}, [])
    sums = metric.sums(["a", "b"], ["a", "b"])
    assert Bootstrap(2, seed=0).interval(metric, sums) == Interval(0.0, 0.0, 1.0)
    assert Bootstrap(2, seed=0).difference(metric, sums, sums) == Interval(0.0, -1.0, 1.0)


def test_the_interval_of_a_median_lies_between_ranks():
    result = median_interval([float(value) for value in range(101)])
    assert (result.score, result.low, result.high) == (50.0, 39.0, 62.0)
    assert median_interval([2.0]) == Interval(2.0, 2.0, 2.0)
