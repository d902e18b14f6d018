"""Which rows make a step, and which of them are taken at once. Needs no torch.

    python -m pytest training/tests/recipes/test_recipe.py -k batch

Rows of like length share a batch, bounded by its tokens. All rows of one model open with the same
system prompt, which is computed once per batch and so does not count for its size.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from training.recipes.config import MAX_ROWS_PER_BATCH

POOL_BATCHES = 16


def plan_batches(
    lengths: Sequence[int],
    *,
    tokens_per_batch: int,
    epochs: float,
    max_steps: int | None,
    seed: int,
) -> list[list[int]]:
    """Plan the rows of every step of the run.

    `lengths` are those of the inputs that a row adds to its batch.
    """
    rng = np.random.default_rng(seed)
    steps: list[list[int]] = []
    rows_wanted = max(1, round(epochs * len(lengths)))
    while rows_wanted > 0 and (max_steps is None or len(steps) < max_steps):
        order = rng.permutation(len(lengths))[:rows_wanted]
        batches = _bucketed(order, np.asarray(lengths), tokens_per_batch)
        steps += [batches[i] for i in rng.permutation(len(batches))]
        # with max_steps, passes go on until the steps are full
        rows_wanted -= len(order) if max_steps is None else 0
    return steps[:max_steps]


def _bucketed(order: np.ndarray, lengths: np.ndarray, budget: int) -> list[list[int]]:
    """Sort inside pools of some batches: little padding, and other batches from pass to pass."""
    pool = max(MAX_ROWS_PER_BATCH, int(POOL_BATCHES * budget / max(1.0, lengths.mean())))
    pools = [order[i : i + pool] for i in range(0, len(order), pool)]
    ordered = (rows[np.argsort(lengths[rows], kind="stable")].tolist() for rows in pools)
    sizes = lengths.tolist()
    return [batch for rows in ordered for batch in cut(rows, sizes, budget)]


def cut(rows: Sequence[int], lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield runs of length-sorted rows, each padded to its last row, no run above the budget."""
    starts = [0]
    for i, row in enumerate(rows):
        count = i - starts[-1] + 1
        if i > starts[-1] and (count > MAX_ROWS_PER_BATCH or count * lengths[row] > budget):
            starts.append(i)
    for start, end in pairwise([*starts, len(rows)]):
        yield list(rows[start:end])


def micro_batches(rows: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cut the rows of a step into turns of at most `budget` tokens: their gradients add up."""
    turns: list[list[int]] = [[]]
    tokens = 0
    for row in rows:
        if turns[-1] and tokens + lengths[row] > budget:
            turns.append([])
            tokens = 0
        turns[-1].append(row)
        tokens += lengths[row]
    return turns
