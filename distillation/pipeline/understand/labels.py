"""The labels of a classification task: what looks like one, which ones a set of answers teaches.
Try it: pytest distillation/tests/pipeline/understand/test_intent.py
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from distillation.pipeline.text import normalise

MAX_LABEL_CHARS = 60
MAX_LABEL_WORDS = 5
# A label of the source is taken over when it was given to this many rows: fewer is likely noise.
MIN_LABEL_ROWS = 2


def label_key(text: str) -> str:
    """Spellings that differ in case or in '_', '-' and space name one label."""
    return re.sub(r"[\s_-]+", "_", normalise(text)).strip("_.")


def is_label(text: str) -> bool:
    answer = text.strip()
    short = 0 < len(answer) <= MAX_LABEL_CHARS and len(answer.split()) <= MAX_LABEL_WORDS
    return short and "\n" not in answer and answer[-1] not in ".?!" and answer[0] not in "{[<"


def learn_labels(answers: Iterable[str]) -> tuple[str, ...]:
    """Return the answers given again and again, one spelling each, in alphabetical order."""
    counts: Counter[str] = Counter()
    spelling: dict[str, str] = {}
    for answer in sorted(a for a in answers if is_label(a)):
        counts[label_key(answer)] += 1
        spelling.setdefault(label_key(answer), answer.strip())
    return tuple(sorted(spelling[key] for key, n in counts.items() if n >= MIN_LABEL_ROWS))


def merge_labels(own: Sequence[str], learned: Sequence[str]) -> tuple[str, ...]:
    """Merge the two; the user's spelling wins over the source's."""
    known = {label_key(label) for label in own}
    return tuple(own) + tuple(name for name in learned if label_key(name) not in known)
