"""Shortest and longest answer in characters: wide around the examples, since they are few, and
within the limit that the words set.
Try it: pytest distillation/tests/pipeline/understand/test_answer_band.py
"""

import re
from collections.abc import Sequence

from distillation.pipeline.types import LONGEST_ANSWER

CHARS_OF_WORD = 8  # with its space, and room for long ones
CHARS_OF_SENTENCE = 300

_NUMBERS = {word: n for n, word in enumerate(["one", "two", "three", "four", "five", "six"], 1)}
_NUMBER = rf"(\d{{1,5}}|{'|'.join(_NUMBERS)})"
_UNIT = r"(?:[a-z-]+ )?(characters?|chars|letters|words?|sentences?)\b"
_AT_MOST = re.compile(
    rf"\b(?:at most|no more than|not more than|up to|max(?:imum|\.)?(?: of)?|under|below|within|"
    rf"fewer than|less than|or|to|and|in|of|with)\s+{_NUMBER}[- ]{_UNIT}",
    re.IGNORECASE,
)
_SIZES = {"char": 1, "lett": 1, "word": CHARS_OF_WORD, "sent": CHARS_OF_SENTENCE}


def answer_band(kind: str, answers: Sequence[str], words: str) -> tuple[int, int]:
    if kind == "classify":
        return 1, 80
    limit = _limit(words) if kind == "generate" else LONGEST_ANSWER
    if not answers:
        return 1, limit
    lengths = [len(answer.strip()) for answer in answers]
    longest = max(4 * max(lengths), 120)
    # A limit that an example breaks is about something else.
    return max(1, min(lengths) // 4), min(longest, limit) if limit >= max(lengths) else longest


def _limit(words: str) -> int:
    """Return the largest length that the words allow; LONGEST_ANSWER when they name none."""
    named = [
        (_NUMBERS.get(number.lower()) or int(number)) * _SIZES[unit[:4].lower()]
        for number, unit in _AT_MOST.findall(words)
    ]
    return min(max(named, default=LONGEST_ANSWER) or LONGEST_ANSWER, LONGEST_ANSWER)
