"""From a measured score to pass, inconclusive or fail, with the sentence that says why.

A criterion speaks of the held-out rows, so the score on them decides, and the interval decides how
far it can be trusted:

- pass: the mark is met, and the interval rules out a model that misses it by more than MARGIN (ten
  points of a share, a quarter of a quantity). Had the whole interval to lie beyond the mark,
  300 right answers of 300 could not pass "at least 99 %".
- inconclusive: the mark is met by too few rows for that, or missed by less than chance explains.
- fail: the mark is missed, and lies outside the interval.

Comparisons: pass when the whole interval of the paired difference lies above 0, fail when it lies
below, else inconclusive. The live version is a floor: only a drop beyond the interval fails.
"""

from collections.abc import Sequence

from training.scoring.criterion import MEASURED, OPS, Criterion, words_of_metric, words_of_value
from training.scoring.intervals import Interval

PASS, INCONCLUSIVE, FAIL = "pass", "inconclusive", "fail"
MARGIN_OF_SHARE = 0.10
MARGIN_OF_QUANTITY = 0.25


def worst(outcomes: Sequence[str]) -> str:
    return max(outcomes, key=[PASS, INCONCLUSIVE, FAIL].index)


def beats_base(gain: Interval, name: str, *, identical: bool) -> tuple[str, str]:
    points = _points(gain, name)
    if gain.high < 0:
        return FAIL, f"The tuned model is not better than its base but worse: {points}."
    if gain.low > 0:
        return PASS, f"The tuned model is better than its base: {points}."
    if identical:
        return INCONCLUSIVE, "No gain: the tuned model answers every row exactly as its base does."
    why = f"The tuned model may be better than its base, but so few rows cannot tell: {points}."
    if gain.score <= 0:
        why = f"No gain: the tuned model is not better than its base on these rows, {points}."
    return INCONCLUSIVE, why


def not_worse_than_live(change: Interval, name: str, live: str) -> tuple[str, str]:
    points = _points(change, name)
    if change.high < 0:
        return FAIL, f"The tuned model is worse than the live version {live}: {points}."
    compared = "better than" if change.low > 0 else "not measurably different from"
    return PASS, f"The tuned model is {compared} the live version {live}: {points}."


def not_worse_than_rival(change: Interval, name: str, rival: str) -> tuple[str, str]:
    """Return an outcome that is inconclusive at worst: the model may do what was asked, and yet
    something simpler does it better.
    """
    points = _points(change, name)
    if change.high < 0:
        return INCONCLUSIVE, (
            f"Something simpler is better: {rival}, trained on the same rows; the tuned model has "
            f"{points}. Take that instead, or add rows."
        )
    compared = "better than" if change.low > 0 else "not measurably different from"
    return PASS, f"The tuned model is {compared} the best of what is simpler, {rival}: {points}."


def _points(gain: Interval, name: str) -> str:
    score, low, high = (f"{100 * value:+.1f}" for value in (gain.score, gain.low, gain.high))
    return f"{score} points on {name} (95% interval {low} to {high})"


def meets(result: Interval, criterion: Criterion) -> tuple[str, str]:
    """Return the outcome of a threshold; see the top of this file."""
    is_met = OPS[criterion.op](result.score, criterion.value)
    score, low, high = (
        words_of_value(criterion, value) for value in (result.score, result.low, result.high)
    )
    text = f"{criterion.metric} is {score}, required was {criterion.bound_in_words}"
    within = f"the mark lies within the 95% interval ({low} to {high})"
    inside = result.low < criterion.value < result.high
    if not is_met and not result.low <= criterion.value <= result.high:
        return FAIL, f"{text}: not met."
    if not is_met:
        return INCONCLUSIVE, f"{text}: not met, but {within}. More test rows would tell."
    if not _sure_enough(result, criterion):
        few = "met, but by too few rows to rely on"
        return INCONCLUSIVE, f"{text}: {few}; {within}. More test rows would tell."
    return PASS, f"{text}. {within.capitalize()}." if inside else f"{text}."


def _sure_enough(result: Interval, criterion: Criterion) -> bool:
    quantity = criterion.metric in MEASURED
    margin = criterion.value * MARGIN_OF_QUANTITY if quantity else MARGIN_OF_SHARE
    if criterion.op in (">", ">="):
        return result.low >= criterion.value - margin
    return result.high <= criterion.value + margin


def not_measured(criterion: Criterion, why: str) -> tuple[str, str]:
    what = words_of_metric(criterion.metric, criterion.options)
    return INCONCLUSIVE, f"Not measured: {what}. {why}"
