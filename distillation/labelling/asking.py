"""Which inputs to ask a person for first: uncertain *and* unlike those that were asked already.

The first answers are spread over clusters of the inputs, the fullest first. Then each pick has the
largest product of uncertainty (one minus the margin between the two likeliest labels) and distance
to the nearest input that was asked (greedy k-center). Every fifth is drawn at random: only a sample
that nobody chose tells how often the head is right. `benchmarks/labelling.py` compares orders.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distillation.labelling.head import Floats, Vectors

RANDOM_EVERY = 5
CLUSTERED_ROWS = 2_000  # of more, a sample is clustered


def asking_order(
    vectors: Vectors,
    asked: Sequence[int],
    probabilities: Floats | None,
    count: int,
    *,
    spread_first: int,
    seed: int = 0,
) -> list[int]:
    """Return `count` rows of `vectors` (of length 1) to ask next; `asked` are not among them.

    `probabilities` (rows, labels) may be None: then distance alone decides.
    `spread_first` is how many answers are taken from clusters before uncertainty counts.
    """
    rng = np.random.default_rng(seed + len(asked))
    is_open = np.ones(len(vectors), dtype=bool)
    is_open[list(asked)] = False
    count = min(count, int(is_open.sum()))
    spread = max(0, min(count, spread_first - len(asked)))
    picked = _from_clusters(vectors, list(asked), is_open, spread, rng) if spread else []
    uncertainty = _uncertainty(probabilities, len(vectors))
    distance = _distance(vectors, [*asked, *picked])
    is_open[picked] = False
    while len(picked) < count:
        if len(picked) % RANDOM_EVERY == RANDOM_EVERY - 1:
            row = int(rng.choice(np.flatnonzero(is_open)))
        else:
            row = int(np.where(is_open, uncertainty * distance, -1).argmax())
        picked.append(row)
        is_open[row] = False
        distance = np.minimum(distance, 1 - vectors @ vectors[row])
    return picked


def _uncertainty(probabilities: Floats | None, rows: int) -> Floats:
    if probabilities is None or probabilities.shape[1] < 2:
        return np.ones(rows)
    best = np.sort(probabilities, axis=1)[:, -2:]
    result: Floats = 1 - (best[:, 1] - best[:, 0])
    return result


def _distance(vectors: Vectors, asked: Sequence[int]) -> Floats:
    """Cosine distance of each row to the nearest asked one."""
    if not asked:
        return np.ones(len(vectors))
    distance = np.full(len(vectors), np.inf)
    for begin in range(0, len(asked), 500):
        near = vectors @ vectors[list(asked[begin : begin + 500])].T
        distance = np.minimum(distance, 1 - near.max(axis=1))
    result: Floats = np.maximum(distance, 0)
    return result


def _from_clusters(
    vectors: Vectors,
    asked: list[int],
    is_open: npt.NDArray[np.bool_],
    count: int,
    rng: np.random.Generator,
) -> list[int]:
    """The row nearest to the middle of each cluster that holds no asked one, the fullest first."""
    from sklearn.cluster import KMeans

    rows = np.flatnonzero(is_open)
    if len(rows) > CLUSTERED_ROWS:
        rows = rng.choice(rows, CLUSTERED_ROWS, replace=False)
    rows = np.concatenate([np.array(asked, dtype=np.int64), rows])
    groups = min(len(asked) + count, len(rows))
    means = KMeans(groups, n_init=1, random_state=0).fit(vectors[rows])
    sizes = np.bincount(means.labels_, minlength=groups)
    covered = set(means.labels_[: len(asked)])
    fullest = sorted(set(range(groups)) - covered, key=lambda group: -sizes[group])
    picked = []
    for group in fullest[:count]:
        members = rows[means.labels_ == group]
        away = np.linalg.norm(vectors[members] - means.cluster_centers_[group], axis=1)
        picked.append(int(members[away.argmin()]))
    return picked
