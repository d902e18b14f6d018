"""Rows on disk become token rows, a plan of batches, and packed tensors.

    python -m pytest training/tests/recipes/test_recipe.py -k batch

Rows of like length share a batch, bounded by its tokens. All rows of one model open with the same
system prompt, which is computed once per batch and so does not count for its size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from training.recipes.config import MAX_ROWS_PER_BATCH
from training.recipes.packing import Packing, Segment, pack, share_prompts
from training.recipes.rows import TokenRow

POOL_BATCHES = 16


@dataclass(frozen=True)
class Batch:
    """All rows of a batch in one line of T tokens, each prompt that rows share written once.

    Learnt positions (A,) are those that predict an answer token, `targets` (A,) those tokens.
    `tokens` counts every row's tokens, shared ones too.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    learnt_positions: torch.Tensor
    targets: torch.Tensor
    packing: Packing
    tokens: int

    def to(self, device: str) -> "Batch":
        return Batch(
            self.input_ids.to(device),
            self.position_ids.to(device),
            self.learnt_positions.to(device),
            self.targets.to(device),
            self.packing.to(device),
            self.tokens,
        )


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
        batches = _bucketed(order, np.asarray(lengths), tokens_per_batch, rng)
        steps += [batches[i] for i in rng.permutation(len(batches))]
        # with max_steps, passes go on until the steps are full
        rows_wanted -= len(order) if max_steps is None else 0
    return steps[:max_steps]


def _bucketed(
    order: np.ndarray, lengths: np.ndarray, budget: int, rng: np.random.Generator
) -> list[list[int]]:
    """Sorting inside pools of some batches keeps the padding small and the batches different from
    pass to pass.
    """
    pool = max(MAX_ROWS_PER_BATCH, int(POOL_BATCHES * budget / max(1.0, lengths.mean())))
    pools = [order[i : i + pool] for i in range(0, len(order), pool)]
    ordered = (rows[np.argsort(lengths[rows], kind="stable")] for rows in pools)
    return [batch for rows in ordered for batch in _cut(rows, lengths, budget)]


def _cut(rows: np.ndarray, lengths: np.ndarray, budget: int) -> Iterator[list[int]]:
    """Yield runs of length-sorted rows, each padded to its last row, no run above the budget."""
    starts = [0]
    for i, row in enumerate(rows):
        count = i - starts[-1] + 1
        if i > starts[-1] and (count > MAX_ROWS_PER_BATCH or count * lengths[row] > budget):
            starts.append(i)
    for start, end in pairwise([*starts, len(rows)]):
        yield [int(row) for row in rows[start:end]]


def micro_batches(rows: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cut the rows of one step into turns of at most `budget` tokens each: their gradients add
    up.
    """
    turns: list[list[int]] = [[]]
    tokens = 0
    for row in rows:
        if turns[-1] and tokens + lengths[row] > budget:
            turns.append([])
            tokens = 0
        turns[-1].append(row)
        tokens += lengths[row]
    return turns


def collate(rows: Sequence[TokenRow], *, share: bool = True) -> Batch:
    """`share` writes a prompt that rows open with once; a GPU's kernels want whole rows."""
    groups = share_prompts(rows) if share else ((0, [row]) for row in rows)
    ids: list[int] = []
    positions: list[int] = []
    learnt: list[int] = []
    targets: list[int] = []
    segments: list[Segment] = []

    def write(row: TokenRow, first: int, end: int, opening: Segment | None) -> Segment:
        shared = (opening.start, opening.length) if opening else (0, 0)
        segment = Segment(len(ids), end - first, *shared)
        answers = [i for i in range(first, end) if row.learnt[i]]
        learnt.extend(segment.start + i - first for i in answers)
        targets.extend(row.targets[i] for i in answers)
        ids.extend(row.inputs[first:end])
        positions.extend(range(first, end))
        segments.append(segment)
        return segment

    for shared, group in groups:
        opening = write(group[0], 0, shared, None) if shared else None
        for row in group:
            write(row, shared, len(row.inputs), opening)
    return Batch(
        input_ids=torch.tensor([ids]),
        position_ids=torch.tensor([positions]),
        learnt_positions=torch.tensor(learnt),
        targets=torch.tensor(targets),
        packing=pack(segments),
        tokens=sum(len(row.inputs) for row in rows),
    )
