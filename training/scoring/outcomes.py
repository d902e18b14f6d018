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
from training.scoring.intervals import Interval, score_interval
from training.scoring.metrics import METRICS
from training.scoring.pairs import normalise

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
    """Return an outcome that is inconclusive at worst: the model may do what is required, and yet
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


# --- before anything is measured ------------------------------------------------------------------

MOST_ROWS = 10_000


def needs(checks: Sequence[Criterion], rows: int, references: Sequence[str] = ()) -> list[str]:
    """Say of each criterion how many of so many held-out rows have to be right, and how many rows
    would decide it at its mark; with the `references`, of the rows that it is measured on.
    """
    return [said for check in checks if (said := _need(check, rows, references))]


def _need(criterion: Criterion, rows: int, references: Sequence[str]) -> str:
    metric = METRICS.get(criterion.metric)
    if metric is None or not metric.is_share or criterion.metric == "label_precision":
        return ""  # not a share of rows that are known beforehand
    if references:
        rows = _rows_of(criterion, references)
    is_least, needed = criterion.op in (">", ">="), hits_needed(criterion, rows)
    said = f"“{criterion.metric} {criterion.bound_in_words}” of {rows:,} held-out rows"
    if needed is None:
        return f"{said} cannot be decided. {_more(criterion)}".strip()
    surplus = needed - criterion.value * rows if is_least else criterion.value * rows - needed
    says = f"{said} {'needs' if is_least else 'allows'} {needed:,}{' right' * is_least}"
    return f"{says}." if surplus < 1 else f"{says}, to be beyond chance. {_more(criterion)}".strip()


def _more(criterion: Criterion) -> str:
    rows = rows_to_decide(criterion)
    return f"With {rows:,} rows the mark itself is enough: add test rows." if rows else ""


def _rows_of(criterion: Criterion, references: Sequence[str]) -> int:
    if criterion.metric == "label_recall":
        label = normalise(criterion.options["label"])
        return sum(normalise(reference) == label for reference in references)
    can_read = METRICS[criterion.metric].reads
    return sum(map(can_read, references)) if can_read else len(references)


def hits_needed(criterion: Criterion, rows: int) -> int | None:
    """Return the fewest hits (the most, where less is better) of a share that pass; None where no
    number does.
    """
    counts = range(rows + 1) if criterion.op in (">", ">=") else range(rows, -1, -1)
    return next((hits for hits in counts if rows and _passes(criterion, hits, rows)), None)


def _passes(criterion: Criterion, hits: int, rows: int) -> bool:
    return meets(_of_share(hits / rows, rows), criterion)[0] == PASS


def rows_to_decide(criterion: Criterion) -> int | None:
    """Return from how many rows on, rounded up to tens, a share that is just the mark passes."""
    low, high = 1, MOST_ROWS
    while low < high:
        middle = (low + high) // 2
        sure = _sure_enough(_of_share(criterion.value, middle), criterion)
        low, high = (low, middle) if sure else (middle + 1, high)
    return None if low == MOST_ROWS else -(-low // 10) * 10


def _of_share(share: float, rows: int) -> Interval:
    """Return the interval that an evaluation gives so many hits."""
    return score_interval(share, share * (1 - share) * rows / max(rows - 1, 1), rows)


def not_measured(criterion: Criterion, why: str) -> tuple[str, str]:
    what = words_of_metric(criterion.metric, criterion.options)
    return INCONCLUSIVE, f"Not measured: {what}. {why}"
