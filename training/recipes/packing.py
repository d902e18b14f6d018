"""Rows of a batch laid end to end, without padding, and who may attend to whom.

    python -m pytest training/tests/test_packing.py

Every token of a batch stands once in one long line: linear layers, norms and the head never see
padding. A prompt that several rows open with stands there once, and each of those rows attends to
it: under causal attention its states do not depend on what follows, so the loss is the same.
Attention alone works on rectangles, and rows of like length share one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from training.recipes.rows import TokenRow, common_length

MIN_SHARED = 8  # a shorter prompt is not worth a rectangle of its own
MOST_PADDING = 1.25  # of a rectangle's tokens, against those of its rows
FREE_PADDING = 16


@dataclass(frozen=True)
class Segment:
    """`length` tokens from `start` on; they attend to themselves and to the shared ones."""

    start: int
    length: int
    shared_start: int = 0
    shared: int = 0


@dataclass(frozen=True)
class Rectangle:
    """Positions in the line: `queries` (B, S), `keys` (B, shared + S); a last one is repeated."""

    queries: torch.Tensor
    keys: torch.Tensor
    shared: int

    def to(self, device: str) -> "Rectangle":
        return Rectangle(self.queries.to(device), self.keys.to(device), self.shared)


@dataclass(frozen=True)
class Packing:
    """`rectangles` in turn hold every token; `order` (T,) finds each token in them.

    `bounds` (N + 1,) int32 are the rows' ends in the line, for a GPU's kernels of variable length;
    they know no shared prompt."""

    rectangles: list[Rectangle]
    order: torch.Tensor
    bounds: torch.Tensor
    longest: int

    def to(self, device: str) -> "Packing":
        rectangles = [rectangle.to(device) for rectangle in self.rectangles]
        return Packing(rectangles, self.order.to(device), self.bounds.to(device), self.longest)


def share_prompts(rows: Sequence[TokenRow]) -> Iterator[tuple[int, list[TokenRow]]]:
    """(shared tokens, rows): rows that open alike, none of the shared tokens a learnt position.

    A row joins while that leaves more to share than the group had without it.
    """
    group: list[TokenRow] = []
    shared = 0
    for row in sorted(rows, key=lambda row: row.inputs):
        most = row.first_learnt
        common = min(most, common_length(group[0].inputs, row.inputs, shared)) if group else 0
        if group and common >= MIN_SHARED and len(group) * common >= (len(group) - 1) * shared:
            group.append(row)
            shared = common
            continue
        if group:
            yield (shared if len(group) > 1 else 0), group
        group, shared = [row], most
    yield (shared if len(group) > 1 else 0), group


def pack(segments: Sequence[Segment]) -> Packing:
    """Segments in the order of their `start`, which together are the whole line."""
    rectangles, places, offset = [], [], 0
    for group in _alike(segments):
        width = max(segment.length for segment in group)
        rectangles.append(_rectangle(group, width))
        for i, segment in enumerate(group):
            places.append((segment.start, offset + i * width, segment.length))
        offset += len(group) * width
    order = torch.cat([torch.arange(at, at + length) for _, at, length in sorted(places)])
    ends = [0] + [segment.start + segment.length for segment in segments]
    longest = max(segment.length for segment in segments)
    return Packing(rectangles, order, torch.tensor(ends, dtype=torch.int32), longest)


def _alike(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Segments of like length that share as much: they make one rectangle."""
    group: list[Segment] = []
    for segment in sorted(segments, key=lambda s: (s.shared, s.shared_start, s.length)):
        tokens = sum(s.length for s in group) + segment.length
        fits = segment.length * (len(group) + 1) <= MOST_PADDING * tokens + FREE_PADDING
        if group and not (fits and group[-1].shared == segment.shared):
            yield group
            group = []
        group.append(segment)
    yield group


def _rectangle(group: Sequence[Segment], width: int) -> Rectangle:
    queries = torch.stack([s.start + torch.arange(width).clamp(max=s.length - 1) for s in group])
    shared = group[0].shared
    opening = torch.stack([s.shared_start + torch.arange(shared) for s in group])
    return Rectangle(queries, torch.cat([opening, queries], dim=1), shared)
