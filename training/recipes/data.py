"""Token rows of a batch become packed tensors.

python -m pytest training/tests/recipes/test_recipe.py -k batch
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from training.recipes.packing import Packing, Segment, pack, share_prompts
from training.recipes.rows import TokenRow


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
        moved = {name: part.to(device) for name, part in vars(self).items() if name != "tokens"}
        return replace(self, **moved)


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
