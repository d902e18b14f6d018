"""Reads the rows of a frozen dataset, for training and evaluation alike. Needs no torch.

python -m pytest training/tests/test_recipe.py -k row
"""

import json
from dataclasses import dataclass
from pathlib import Path

from modelstation.lm.chat import Message


@dataclass(frozen=True)
class TokenRow:
    """Inputs up to the token before the last learnt one; `learnt[i]` says that the token after
    input i is learnt.
    """

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
    """The messages of each line; ValueError names the file and line that cannot be read."""
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
