"""How often the head is right on what nobody answered, and which rows that lets it take over.

Held-out answers say how sure the head was and whether it was right: a logistic curve through them
(Platt 1999, with a prior towards "as sure as it says") turns sureness into a chance to be wrong.
The bootstrap over the answers gives an interval, to which the luck of the draw is added: the error
of twelve rows is less certain than that of a thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillation.labelling.head import Floats, Head

SAMPLES = 400
TAIL = 0.05  # one-sided
NEEDED_ANSWERS = 20
LEAST_TAKEN = 10  # rows: of fewer nobody can say what share is wrong
# Where slope and offset of the curve begin, and how much that weighs: as a few answers.
START, PRIOR = np.array([1.0, 0.0]), np.array([2.0, 0.2])
NEWTON_STEPS = 12


@dataclass(frozen=True)
class Share:
    """A share from 0 to 1, with the bounds between which it lies nine times of ten."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class TakeOver:
    """`rows` are positions among the unanswered, the surest first; `error` is that of all of them.

    `reason` says why there are none.
    """

    rows: tuple[int, ...] = ()
    error: Share | None = None
    left_out: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Estimate:
    accuracy: Share  # of the head on all that is unanswered
    chances: Floats  # of each unanswered row, that its proposal is right
    take_over: TakeOver


def estimate(
    head: Head, answers: Sequence[str], open_probabilities: Floats, level: float
) -> Estimate | None:
    """Return None where too few are answered for any estimate."""
    if len(answers) < NEEDED_ANSWERS or not len(open_probabilities):
        return None
    rng = np.random.default_rng(0)
    truth = np.array([head.labels.index(answer) for answer in answers])
    right = (head.held_out.argmax(axis=1) == truth).astype(np.float64)
    curves = _curves(head.held_out.max(axis=1), right, rng)
    order = np.argsort(-open_probabilities.max(axis=1), kind="stable")
    sureness = _logit(open_probabilities.max(axis=1)[order])
    # The chance to be wrong: (rows, 1 + samples).
    wrong = 1 - _logistic(sureness[:, None] * curves[:, 0] + curves[:, 1])
    expected, low, _ = (float(each[-1]) for each in _error_of_the_surest(wrong, rng))
    wrong = np.maximum(wrong, _floors(head.held_out.max(axis=1), right, rng))
    chances = np.empty(len(order))
    chances[order] = 1 - wrong[:, 0]
    careful = _error_of_the_surest(wrong, rng)
    every = Share(1 - expected, 1 - float(careful[2][-1]), 1 - low)
    return Estimate(every, chances, _take_over(order, *careful, level))


def _take_over(
    order: npt.NDArray[np.int64], expected: Floats, low: Floats, high: Floats, level: float
) -> TakeOver:
    """Take the most rows of which the upper bound of the error is not above the level."""
    fits = np.flatnonzero(high <= level)
    fits = fits[fits >= LEAST_TAKEN - 1]
    if not len(fits):
        best = high[LEAST_TAKEN - 1 :].min(initial=1)
        reason = (
            f"Of no group of inputs is it sure enough that at most {level:.0%} are wrong: for the "
            f"surest the bound is {best:.0%}. Answer more, or allow more errors."
        )
        return TakeOver(left_out=len(order), reason=reason)
    last = int(fits[-1])
    share = Share(float(expected[last]), float(low[last]), float(high[last]))
    return TakeOver(tuple(map(int, order[: last + 1])), share, left_out=len(order) - last - 1)


def _error_of_the_surest(wrong: Floats, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return, for the first 1, 2 … rows: the expected error, and the bounds of the real one."""
    sizes = np.arange(1, len(wrong) + 1)
    expected = wrong[:, 0].cumsum() / sizes
    drawn = np.empty((len(wrong), wrong.shape[1] - 1), dtype=np.float32)
    for sample in range(drawn.shape[1]):
        errors = rng.random(len(wrong)) < wrong[:, sample + 1]
        drawn[:, sample] = errors.cumsum() / sizes
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL], axis=1)
    return expected, np.minimum(low, expected), np.maximum(high, expected)


def _curves(sureness: Floats, right: Floats, rng: np.random.Generator) -> Floats:
    """Slope and offset from all answers, then from each resample of them: (1 + samples, 2).

    Newton's method on right ~ logistic(slope * x + offset), for all resamples at once.
    """
    every = np.arange(len(sureness))
    picks = np.vstack([every, rng.integers(0, len(every), (SAMPLES, len(every)))])
    x, said = _logit(sureness)[picks], right[picks]
    features = np.stack([x, np.ones_like(x)], axis=-1)  # (1 + samples, answers, 2)
    weights = np.tile(START, (len(picks), 1))
    for _ in range(NEWTON_STEPS):
        chance = _logistic(np.einsum("sna,sa->sn", features, weights))
        slope = np.einsum("sna,sn->sa", features, chance - said) + PRIOR * (weights - START)
        bends = np.einsum("sna,sn,snb->sab", features, chance * (1 - chance), features)
        weights = weights - np.linalg.solve(bends + np.diag(PRIOR), slope[..., None])[..., 0]
    return weights


def _floors(sureness: Floats, right: Floats, rng: np.random.Generator) -> Floats:
    """Draw how often even the surest proposals are wrong: (1 + samples,), the mean first.

    A curve alone would promise ever fewer errors the surer the head is. Where labels are noisy
    however sure it is, the surest answers show it: as many of them as make the share smallest.
    """
    errors = (1 - right[np.argsort(-sureness, kind="stable")]).cumsum()
    counts = np.arange(1, len(errors) + 1)
    shares = (errors + 0.5) / (counts + 1)  # Jeffreys' prior
    best = int(shares[LEAST_TAKEN - 1 :].argmin()) + LEAST_TAKEN - 1
    draws = rng.beta(errors[best] + 0.5, counts[best] - errors[best] + 0.5, SAMPLES)
    return np.concatenate([[shares[best]], draws])


def _logit(chance: Floats) -> Floats:
    clipped = np.clip(chance, 1e-3, 1 - 1e-3)
    result: Floats = np.log(clipped / (1 - clipped))
    return result


def _logistic(x: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-x))
    return result
