"""All that a training settles before it loads a weight: rows, config, the plan of every step.

python -m pytest training/tests/recipes/test_recipe.py
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from modelstation.lm.chat import load_renderer
from training.plan.estimate.costs import MAX_VALID_ROWS
from training.plan.estimate.measure import cpu_has_bf16
from training.plan.estimate.shapes import read_shape
from training.progress import ChildError
from training.recipes.batches import plan_batches
from training.recipes.config import MIN_ROWS, RunFacts, TrainingConfig, budgeted_steps, resolve
from training.recipes.rows import TokenRow, common_prefix, encode, read_conversations


@dataclass(frozen=True)
class Prepared:
    """All that is settled before a weight is loaded."""

    config: TrainingConfig
    train: list[TokenRow]
    valid: list[TokenRow]
    prefix: int
    steps: list[list[int]]
    rows_left_out: int
    is_cut: bool = False  # max_train_tokens pays for no more steps

    @property
    def lengths(self) -> list[int]:
        """What each row adds to its batch."""
        return [len(row.inputs) - self.prefix for row in self.train]


def prepare(dataset: Path, base_folder: Path, config: TrainingConfig) -> Prepared:
    """Read and encode the rows, resolve the config, plan every step; or refuse."""
    renderer = load_renderer(base_folder)
    train_rows = read_conversations(dataset / "train.jsonl")
    train, left_out = encode(train_rows, renderer, config.max_seq_len)
    if len(train) < MIN_ROWS:
        longer = f" ({left_out} more are longer than {config.max_seq_len} tokens)"
        have = f"{len(train)} training rows{longer if left_out else ''}"
        message = f"Not enough data: {have}, at least {MIN_ROWS} needed. Add examples."
        raise ChildError("not_enough_data", message)
    valid_rows = read_conversations(dataset / "valid.jsonl")[:MAX_VALID_ROWS]
    valid, _ = encode(valid_rows, renderer, config.max_seq_len)
    prefix = common_prefix([*train, *valid])
    lengths = [len(row.inputs) - prefix for row in train]
    answers = sum(row.answer_tokens for row in train)
    resolved = resolve(config, run_facts(lengths, base_folder, prefix, answers))
    steps = plan_batches(
        lengths,
        tokens_per_batch=resolved.tokens_per_batch or 0,
        epochs=resolved.epochs or 0,
        max_steps=resolved.max_steps,
        seed=resolved.seed,
    )
    paid = budgeted_steps((sum(len(train[i].inputs) for i in rows) for rows in steps), resolved)
    is_cut = paid < len(steps)
    return Prepared(resolved, train, valid, prefix, steps[:paid], left_out, is_cut)


def run_facts(
    lengths: Sequence[int], base_folder: Path, prefix: int, answer_tokens: int
) -> RunFacts:
    has_cuda, shape = torch.cuda.is_available(), read_shape(base_folder)
    return RunFacts(
        rows=len(lengths),
        tokens=sum(lengths),
        longest_row=max(lengths),
        parameters=shape.parameters,
        context=shape.context,
        has_cuda=has_cuda,
        has_bf16=torch.cuda.is_bf16_supported() if has_cuda else cpu_has_bf16(),
        prefix=prefix,
        answer_tokens=answer_tokens,
        lora_parameters=shape.lora_parameters,
    )
