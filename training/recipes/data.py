"""Rows on disk become token rows, a plan of batches, and padded tensors.

    python -m pytest training/tests/test_recipe.py -k batch

Rows of like length share a batch, and a batch is bounded by its padded tokens: padding is work for
nothing. All rows of one model open with the same system prompt, so their common prefix is kept
apart and computed once per batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from modelstation.lm.chat import ChatRenderer, Message
from training.recipes.config import MAX_ROWS_PER_BATCH

POOL_BATCHES = 16


@dataclass(frozen=True)
class TokenRow:
    """Inputs up to the token before the last learnt one; `learnt[i]` says that the token after
    input i is learnt.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    learnt: tuple[bool, ...]

    @property
    def answer_tokens(self) -> int:
        return sum(self.learnt)


@dataclass(frozen=True)
class Batch:
    """`prefix` (P,) opens every row, `inputs` (B, S) follow it, padded on the right.

    Learnt positions are indices into the flattened B·S positions, `targets` (A,) the tokens that
    follow them. No mask: attention is causal and the padding stands last, so no learnt position
    ever sees it.
    """

    prefix: torch.Tensor
    inputs: torch.Tensor
    learnt_positions: torch.Tensor
    targets: torch.Tensor
    tokens: int

    def to(self, device: str) -> "Batch":
        return Batch(
            self.prefix.to(device),
            self.inputs.to(device),
            self.learnt_positions.to(device),
            self.targets.to(device),
            self.tokens,
        )


def encode(
    conversations: Sequence[list[Message]], renderer: ChatRenderer, max_seq_len: int
) -> tuple[list[TokenRow], int]:
    """Token rows, and how many conversations were left out because they are longer than
    `max_seq_len`.

    A long row is left out whole: cutting it would teach an answer to a question that was not read.
    """
    rows = [_token_row(*renderer.render_training(messages)) for messages in conversations]
    kept = [row for row in rows if len(row.inputs) <= max_seq_len]
    return kept, len(rows) - len(kept)


def _token_row(ids: list[int], mask: list[bool]) -> TokenRow:
    end = max(i for i, learnt in enumerate(mask) if learnt)  # what follows teaches nothing
    return TokenRow(tuple(ids[:end]), tuple(ids[1 : end + 1]), tuple(mask[1 : end + 1]))


def common_prefix(rows: Sequence[TokenRow]) -> int:
    """How many leading inputs all rows share, none of them a learnt position, one input left to
    each row.
    """
    first = min(row.inputs for row in rows)
    last = max(row.inputs for row in rows)
    shared = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    unlearnt = min(row.learnt.index(True) for row in rows)
    return min(shared, unlearnt, min(len(row.inputs) for row in rows) - 1)


def plan_batches(
    lengths: Sequence[int],
    *,
    tokens_per_batch: int,
    epochs: float,
    max_steps: int | None,
    seed: int,
) -> list[list[int]]:
    """The rows of every step of the run.

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
    """Runs of length-sorted rows, each padded to its last row, no run above the budget."""
    starts = [0]
    for i, row in enumerate(rows):
        count = i - starts[-1] + 1
        if i > starts[-1] and (count > MAX_ROWS_PER_BATCH or count * lengths[row] > budget):
            starts.append(i)
    for start, end in pairwise([*starts, len(rows)]):
        yield [int(row) for row in rows[start:end]]


def collate(rows: Sequence[TokenRow], prefix: int) -> Batch:
    width = max(len(row.inputs) for row in rows) - prefix
    inputs = torch.zeros((len(rows), width), dtype=torch.long)
    learnt = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        size = len(row.inputs) - prefix
        inputs[i, :size] = torch.tensor(row.inputs[prefix:])
        learnt[i, :size] = torch.tensor(row.learnt[prefix:])
    targets = [
        token for row in rows for token, asked in zip(row.targets, row.learnt, strict=True) if asked
    ]
    return Batch(
        prefix=torch.tensor(rows[0].inputs[:prefix], dtype=torch.long),
        inputs=inputs,
        learnt_positions=learnt.flatten().nonzero().squeeze(1),
        targets=torch.tensor(targets, dtype=torch.long),
        tokens=sum(len(row.inputs) for row in rows),
    )
