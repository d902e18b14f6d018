"""What a dataset weighs in tokens: counted with the base's own tokenizer, or guessed before there
is a dataset. Needs no torch, so that a page may count.

python -m pytest training/tests/plan/test_preflight.py -k tokens
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelstation.lm.chat import ChatRenderer, Message
from training.recipes.rows import common_prefix, encode

SAMPLE_ROWS, LONGEST_ROWS = 2_000, 16  # spread over the rows, and of those that look longest
CHARS_PER_TOKEN = 3.6  # of English and of code, with the tokenizers of small bases
TURN_TOKENS = 5  # the markup around each message
GUESSED_INPUT_CHARS = 220
GUESSED_ANSWER_CHARS = 40
# A dataset's rows are not all of the examples' length; training sees about this spread.
SPREAD = (0.5, 0.7, 0.85, 1.0, 1.15, 1.4, 2.0)


@dataclass(frozen=True)
class DataFacts:
    """Rows to train on, in tokens. `lengths` and `answers` are of a sample of the rows, `prefix` is
    what all rows open with; the longest row is always in the sample when rows were counted.
    """

    rows: int
    lengths: tuple[int, ...]
    answers: tuple[int, ...]
    prefix: int
    valid_rows: int
    is_counted: bool

    @property
    def is_sample(self) -> bool:
        return not self.is_counted or self.rows > len(self.lengths)


def count_tokens(
    sample: Sequence[list[Message]], renderer: ChatRenderer, *, rows: int, valid_rows: int
) -> DataFacts:
    """Of rows to train on, of which `sample` is a part."""
    encoded, _ = encode(sample, renderer, sys.maxsize)
    return DataFacts(
        rows=rows,
        lengths=tuple(len(row.inputs) for row in encoded),
        answers=tuple(row.answer_tokens for row in encoded),
        prefix=common_prefix(encoded) if encoded else 0,
        valid_rows=valid_rows,
        is_counted=True,
    )


def guess_tokens(
    prompt: str, pairs: Iterable[dict[str, str]], *, rows: int, valid_rows: int
) -> DataFacts:
    """From the lengths of a few examples, in characters; from usual ones where there is none."""
    texts = [(len(pair["input"]), len(pair["output"])) for pair in pairs]
    texts = texts or [(GUESSED_INPUT_CHARS, GUESSED_ANSWER_CHARS)]
    prefix = _tokens(len(prompt)) + 2 * TURN_TOKENS
    sizes = [
        (prefix + _tokens(question * by) + TURN_TOKENS, _tokens(answer * by))
        for question, answer in texts
        for by in SPREAD
    ]
    return DataFacts(
        rows=rows,
        lengths=tuple(question + answer for question, answer in sizes),
        answers=tuple(answer for _, answer in sizes),
        prefix=prefix,
        valid_rows=valid_rows,
        is_counted=False,
    )


def _tokens(chars: float) -> int:
    return max(1, round(chars / CHARS_PER_TOKEN))
