"""Reads the rows of a frozen dataset, for training, evaluation and the preflight alike, and turns
them into token rows. Needs no torch.

python -m pytest training/tests/recipes/test_recipe.py -k row
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelstation.lm.chat import ChatRenderer, Message


@dataclass(frozen=True)
class TokenRow:
    """Inputs before the last learnt token; `learnt[i]`: the token after input i is learnt."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    learnt: tuple[bool, ...]

    @property
    def first_learnt(self) -> int:
        return self.learnt.index(True)

    @property
    def answer_tokens(self) -> int:
        return sum(self.learnt)


def read_conversations(path: Path) -> list[list[Message]]:
    """Return the messages of each line; ValueError names the file and line that cannot be read."""
    with path.open(encoding="utf-8") as lines:
        return [
            _messages(line, path, number) for number, line in enumerate(lines, 1) if line.strip()
        ]


def _messages(line: str, path: Path, number: int) -> list[Message]:
    where = f"{path.name}, line {number}"
    try:
        messages = json.loads(line)["messages"]
        turns = [{"role": str(turn["role"]), "content": turn["content"]} for turn in messages]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where}: not a row with a list of messages.") from error
    if not turns or turns[-1]["role"] != "assistant":
        raise ValueError(f"{where}: the last message must be the assistant's answer.")
    if any(not isinstance(turn["content"], str) for turn in turns):
        raise ValueError(f"{where}: a message's content must be text.")
    return turns


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
    """How many leading inputs all rows share, none of them learnt, one input left to each row."""
    first = min(row.inputs for row in rows)
    last = max(row.inputs for row in rows)
    unlearnt = min(min(row.first_learnt, len(row.inputs) - 1) for row in rows)
    return common_length(first, last, unlearnt)


def common_length(first: tuple[int, ...], second: tuple[int, ...], most: int) -> int:
    """How many of the first `most` inputs are the same."""
    pairs = enumerate(zip(first[:most], second[:most], strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(most, len(second)))
