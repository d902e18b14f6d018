"""From answers to a verdict: scores with intervals, the trivial baseline, rows with the worst
first, each criterion.

    python -m pytest training/tests/test_report.py
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.evaluation.criteria import BEATS_BASE, OPS, Criteria, Criterion
from training.evaluation.metrics import Floats, Metric, build_metric

RESAMPLES = 2000
CONFIDENCE = 0.95
SMALL_TEST = 50
PASS, INCONCLUSIVE, FAIL = "pass", "inconclusive", "fail"


@dataclass(frozen=True)
class Answers:
    """The held-out rows and what both models answered, in the rows' order."""

    inputs: list[str]
    references: list[str]
    base: list[str]
    tuned: list[str]


@dataclass(frozen=True)
class Interval:
    score: float
    low: float
    high: float


class Bootstrap:
    """Resamples of the rows, drawn once: every score and difference sees the same ones, so that
    pairs stay pairs.
    """

    def __init__(self, rows: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES).astype(
            np.float64
        )

    def interval(self, metric: Metric, sums: Floats) -> Interval:
        """Percentile interval of the score (Efron 1979)."""
        return _interval(metric.combine(sums.sum(axis=0)), metric.combine(self.weights @ sums))

    def difference(self, metric: Metric, ours: Floats, theirs: Floats) -> Interval:
        """Of the paired difference ours − theirs."""
        score = metric.combine(ours.sum(axis=0)) - metric.combine(theirs.sum(axis=0))
        return _interval(
            score, metric.combine(self.weights @ ours) - metric.combine(self.weights @ theirs)
        )


def _interval(score: Any, resampled: Floats) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(score), float(low), float(high))


def build_report(
    answers: Answers, *, metric: str, criteria: Criteria, labels: list[str] | None, seed: int
) -> dict[str, Any]:
    """The report of one evaluation; its `verdict` is the worst outcome among the criteria."""
    bootstrap = Bootstrap(len(answers.references), seed)
    options = {"labels": labels} if labels else {}
    main = build_metric(metric, options, answers.references)
    base, tuned = (main.sums(found, answers.references) for found in (answers.base, answers.tuned))
    checked = [_check(check, answers, metric, options, bootstrap) for check in criteria.checks]
    return {
        "metric": metric,
        "n_test": len(answers.references),
        "base": asdict(bootstrap.interval(main, base)),
        "tuned": asdict(bootstrap.interval(main, tuned)),
        "difference": asdict(bootstrap.difference(main, tuned, base)),
        "baseline": best_baseline(answers, main),
        "criteria": checked,
        "unread_criteria": criteria.unread,
        "verdict": _worst([check["outcome"] for check in checked]),
        "note": _note(len(answers.references), criteria.unread),
    }


def _worst(outcomes: Sequence[str]) -> str:
    return max(outcomes, key=[PASS, INCONCLUSIVE, FAIL].index)


def _note(rows: int, unread: Sequence[str]) -> str:
    parts = []
    if rows < SMALL_TEST:
        parts.append(
            f"Only {rows} held-out rows: the true scores may be far from these. Add test rows."
        )
    if unread:
        parts.append(f"Not measured, because no check could be read out of it: {'; '.join(unread)}")
    return " ".join(parts)


def _check(
    criterion: Criterion,
    answers: Answers,
    metric: str,
    options: dict[str, Any],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    name = (criterion.of or metric) if criterion.metric == BEATS_BASE else criterion.metric
    measured = build_metric(name, {**options, **criterion.options}, answers.references)
    base, tuned = (
        measured.sums(found, answers.references) for found in (answers.base, answers.tuned)
    )
    if criterion.metric == BEATS_BASE:
        outcome, explained = _beats_base(bootstrap.difference(measured, tuned, base), name)
    else:
        outcome, explained = _meets(bootstrap.interval(measured, tuned), criterion)
    return {
        "metric": criterion.metric,
        "of": name,
        "op": criterion.op,
        "value": criterion.value,
        "score": measured.score(answers.tuned, answers.references),
        "outcome": outcome,
        "passed": outcome == PASS,
        "asked": criterion.sentence,
        "sentence": explained,
    }


def _beats_base(gain: Interval, name: str) -> tuple[str, str]:
    score, low, high = (f"{100 * value:+.1f}" for value in (gain.score, gain.low, gain.high))
    points = f"{score} points on {name} (95% interval {low} to {high})"
    if gain.score <= 0:
        return FAIL, f"The tuned model is not better than its base: {points}."
    if gain.low <= 0:
        return (
            INCONCLUSIVE,
            f"The tuned model may be better than its base, but so few rows cannot tell: {points}.",
        )
    return PASS, f"The tuned model is better than its base: {points}."


def _meets(found: Interval, criterion: Criterion) -> tuple[str, str]:
    """The score measured on the held-out rows decides; the interval says how sure that is."""
    met = OPS[criterion.op](found.score, criterion.value)
    said = f"{criterion.metric} is {found.score:.3f}, asked was {criterion.op} {criterion.value:g}"
    doubt = ""
    if found.low < criterion.value < found.high:
        doubt = f" The mark lies within the 95% interval ({found.low:.3f} to {found.high:.3f})."
    return (PASS, f"{said}.{doubt}") if met else (FAIL, f"{said}: not met.{doubt}")


def best_baseline(answers: Answers, metric: Metric) -> dict[str, Any]:
    """The better of two ways to answer without a model: the commonest answer every time, or the
    input itself.
    """
    commonest = Counter(answers.references).most_common(1)[0][0]
    guesses = {
        "majority answer": [commonest] * len(answers.references),
        "copy of the input": answers.inputs,
    }
    scores = {name: metric.score(guess, answers.references) for name, guess in guesses.items()}
    name = max(scores, key=lambda key: scores[key])
    return {"name": name, "score": scores[name], "all": scores}


def worst_first(answers: Answers, metric: Metric) -> list[dict[str, Any]]:
    """One object per row by the tuned model's score; among equals, where the base did better."""
    rows = [
        {
            "index": index,
            "input": asked,
            "reference": reference,
            "base": base,
            "tuned": tuned,
            "base_score": metric(base, reference),
            "tuned_score": metric(tuned, reference),
        }
        for index, (asked, reference, base, tuned) in enumerate(
            zip(answers.inputs, answers.references, answers.base, answers.tuned, strict=True)
        )
    ]
    return sorted(rows, key=lambda row: (row["tuned_score"], -row["base_score"], row["index"]))
