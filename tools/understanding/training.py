"""Train the networks of `distillation.pipeline.understand` on cases, with torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distillation.pipeline.understand.embedding import DIMENSIONS

Array = NDArray[np.float32]
SEEDS = 8
STEPS = 250
LEARNING_RATE = 0.02
KIND_DECAY = 1.0


@dataclass(frozen=True)
class Group:
    """The lists of one requirement; `right` marks those that are meant, none of them often."""

    x: Array
    right: NDArray[np.bool_]
    case: Array


def fit_lists(groups: Sequence[Group], hidden: int, decay: float) -> dict[str, Array]:
    """Maximise the share that a softmax over each group, with "none" beside, gives to the right."""
    stacked = np.vstack([group.x for group in groups])
    mean, scale = stacked.mean(0), stacked.std(0) + 1e-3
    scale[scale < 0.02] = 1
    x = torch.tensor(np.clip((stacked - mean) / scale, -6, 6))
    right = torch.tensor(np.concatenate([group.right for group in groups]))
    of = torch.tensor(np.repeat(np.arange(len(groups)), [len(group.right) for group in groups]))
    cases = torch.tensor(np.stack([group.case for group in groups]))
    trained = [_fit(x, right, of, cases, hidden, decay, seed) for seed in range(SEEDS)]
    named = {name: np.stack([each[name] for each in trained]) for name in trained[0]}
    return named | {"mean": mean, "scale": scale, "none": named["none"].mean(0)}


def _fit(
    x: torch.Tensor,
    right: torch.Tensor,
    of: torch.Tensor,
    cases: torch.Tensor,
    hidden: int,
    decay: float,
    seed: int,
) -> dict[str, Array]:
    generator = torch.Generator().manual_seed(seed)
    w = {
        "w1": torch.randn(x.shape[1], hidden, generator=generator) * 0.1,
        "b1": torch.zeros(hidden),
        "w2": torch.randn(hidden, generator=generator) * 0.1,
        "w": torch.zeros(x.shape[1]),
        "none": torch.zeros(cases.shape[1]),
    }
    for value in w.values():
        value.requires_grad_()
    optimizer = torch.optim.AdamW(w.values(), lr=LEARNING_RATE, weight_decay=0)
    count = len(cases)
    has = torch.zeros(count, dtype=torch.bool)
    has[of[right]] = True
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / STEPS) + 1e-4
        scores = x @ w["w"] + torch.relu(x @ w["w1"] + w["b1"]) @ w["w2"]
        none = cases @ w["none"]
        highest = none.detach().clone().scatter_reduce(0, of, scores.detach(), "amax")
        shares = torch.exp(scores - highest[of])
        rest = torch.exp(none - highest)
        total = torch.zeros(count).index_add(0, of, shares) + rest
        meant = torch.zeros(count).index_add(0, of[right], shares[right])
        loss = -torch.log(torch.where(has, meant, rest) / total + 1e-9).mean()
        loss = loss + decay * sum((w[name] ** 2).sum() for name in ("w1", "w2", "w"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: value.detach().numpy() for name, value in w.items()}


def axes(rows: Array, count: int) -> Array:
    """Return the directions in which these vectors differ most: (dimensions, count)."""
    rows = rows[np.abs(rows).sum(1) > 0]
    _, _, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    found: Array = directions[:count].T.astype(np.float32)
    return found


def fit_kinds(rows: Array, kinds: NDArray[np.int64], count: int) -> dict[str, Array]:
    """Return one linear layer with softmax, decayed."""
    mean, scale = rows.mean(0), rows.std(0) + 1e-3
    scale[: 3 * DIMENSIONS] = 1  # meanings are of one size already
    x = torch.tensor(np.clip((rows - mean) / scale, -8, 8), dtype=torch.float32)
    y = torch.tensor(kinds)
    w = torch.zeros(x.shape[1], count, requires_grad=True)
    b = torch.zeros(count, requires_grad=True)
    optimizer = torch.optim.LBFGS([w, b], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ w + b, y, reduction="sum")
        loss = loss + KIND_DECAY * (w**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return {"w": w.detach().numpy(), "b": b.detach().numpy(), "mean": mean, "scale": scale}
