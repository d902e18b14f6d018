"""95 % intervals of scores, of paired differences and of medians.

The percentile bootstrap is too narrow where evaluations mostly are: few rows, scores near 0 or 1.
So the bootstrap only gives the standard error, for whatever metric, and the interval is built as
for a binomial share: Wilson's, with as many rows as would give that error (the effective sample of
survey statistics: Franco, Little, Louis and Slud 2019). For a plain share that is Wilson's interval
itself. A difference is Bonett and Price's (2012). Both count one imagined row for and one against,
so that rows which all agree leave some doubt: about 3/n.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from training.scoring.scorers import Floats, Scorer
from training.scoring.shapes import SideResult

RESAMPLES = 2000
# Called 95 % intervals, and aimed a little above: the coverage of any interval for counts swings
# around its aim, and what claims to hold 95 times in 100 should not hold 93 times.
CONFIDENCE = 0.965
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


@dataclass(frozen=True)
class Interval:
    score: float
    low: float
    high: float

    def to_json(self) -> SideResult:
        return {"score": self.score, "low": self.low, "high": self.high}


class Bootstrap:
    """Resamples of the rows, drawn once: every score and difference sees the same ones, so that
    pairs stay pairs.
    """

    def __init__(self, rows: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.rows = rows
        self.weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES).astype(
            np.float64
        )

    def interval(self, scorer: Scorer, sums: Floats) -> Interval:
        """Of a score in [0, 1]; all of that where no row counts."""
        score, rows = float(scorer.combine(sums.sum(axis=0))), scorer.rows(sums)
        if rows == 0:
            return Interval(score, 0.0, 1.0)
        error = self._error(scorer.combine(self.weights @ sums), score)
        return score_interval(score, error * rows, rows)

    def difference(self, scorer: Scorer, ours: Floats, theirs: Floats) -> Interval:
        """Of the paired difference ours − theirs."""
        score = float(scorer.combine(ours.sum(axis=0)) - scorer.combine(theirs.sum(axis=0)))
        rows = min(scorer.rows(ours), scorer.rows(theirs))
        if rows == 0:
            return Interval(score, -1.0, 1.0)
        resampled = scorer.combine(self.weights @ ours) - scorer.combine(self.weights @ theirs)
        return difference_interval(score, self._error(resampled, score) * rows, rows)

    def _error(self, resampled: Floats, score: float) -> float:
        """Return the mean squared error. The resamples' distance from the score is a bias, which
        macro F1 has with few rows per label.
        """
        squared = float(np.var(resampled)) + (float(np.mean(resampled)) - score) ** 2
        return squared * self.rows / max(self.rows - 1, 1)


def score_interval(score: float, variance: float, rows: int) -> Interval:
    """Wilson's interval with the effective number of rows; `variance` is that of one row."""
    centre = (rows * score + 1) / (rows + 2)
    imagined = centre**2 + (1 - centre) ** 2
    spread = (rows * variance + rows * (score - centre) ** 2 + imagined) / (rows + 2)
    return wilson(score, rows * centre * (1 - centre) / spread)


def wilson(score: float, rows: float) -> Interval:
    """Wilson's interval (1927) of a share among `rows`, which need not be a whole number."""
    z = _quantile(rows)
    middle = (score + z * z / (2 * rows)) / (1 + z * z / rows)
    half = math.sqrt(score * (1 - score) / rows + (z / (2 * rows)) ** 2) * z / (1 + z * z / rows)
    return Interval(score, min(score, max(0.0, middle - half)), max(score, min(1.0, middle + half)))


def difference_interval(score: float, variance: float, rows: int) -> Interval:
    """Bonett and Price's interval; `variance` is that of one row's difference."""
    centre = rows * score / (rows + 2)
    second_moment = (rows * (variance + score**2) + 2) / (rows + 2)
    half = _quantile(rows) * math.sqrt(max(second_moment - centre**2, 0.0) / (rows + 2))
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return Interval(score, min(low, score), max(high, score))


def _quantile(rows: float) -> float:
    """Student's, to first order: the error too is estimated from these few rows."""
    return Z + (Z**3 + Z) / (4 * max(rows - 1, 4))


def median_interval(values: Sequence[float]) -> Interval:
    """From the order of the values alone: the ranks between which a median lies (binomial, ½)."""
    ordered, n = sorted(values), len(values)
    middle = float(np.median(ordered))
    half = Z * math.sqrt(n) / 2
    first, last = math.floor(n / 2 - half), math.ceil(n / 2 + half)
    return Interval(middle, ordered[max(first, 0)], ordered[min(last, n - 1)])
