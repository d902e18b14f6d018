"""Sentences from patterns, so that one idea is said in many ways.

    expand("[My|The] {device} is [dead|gone].", {"device": ["mouse", "screen"]}, random.Random(0))

`[a|b]` takes one of the alternatives, `{name}` a word of that slot; both may hold the other.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random

Slots = Mapping[str, Sequence[str]]

CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{(\w+)\}")
TRIES = 60


@dataclass(frozen=True)
class Row:
    """One example: `task` is the label or the kind of work."""

    task: str
    user: str
    answer: str
    system: str = ""


def expand(pattern: str, slots: Slots, rng: Random) -> str:
    text = pattern
    while CHOICE.search(text) or SLOT.search(text):
        text = CHOICE.sub(lambda match: rng.choice(match[1].split("|")), text)
        text = SLOT.sub(lambda match: rng.choice(slots[match[1]]), text)
    # An alternative may be empty: no space or comma is left standing before the full stop.
    return re.sub(r"[ ,]+([.?!,])", r"\1", re.sub(r" +", " ", text)).strip()


def sentences(patterns: Sequence[str], slots: Slots, rng: Random, count: int) -> list[str]:
    """`count` different sentences; every pattern gets its turn before one comes again."""
    turns = cycle(rng.sample(patterns, len(patterns)))
    return distinct(lambda: expand(next(turns), slots, rng), count)


def distinct(make: Callable[[], str], count: int) -> list[str]:
    """`count` different results; raises when what is made keeps repeating itself."""
    found: dict[str, None] = {}
    for _ in range(count * TRIES):
        found[make()] = None
        if len(found) == count:
            return list(found)
    raise ValueError(f"only {len(found)} different texts, {count} wanted")


def distinct_rows(make: Callable[[], Row], count: int) -> list[Row]:
    """`count` rows with different questions."""
    found: dict[str, Row] = {}
    for _ in range(count * TRIES):
        row = make()
        found.setdefault(row.user, row)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"only {len(found)} different questions, {count} wanted")


def labelled(
    patterns: Mapping[str, Sequence[str]],
    slots: Slots,
    systems: Sequence[str],
    rng: Random,
    per_label: int,
) -> Iterator[Row]:
    """Yield an intent set: messages as people type them, answered by their label."""
    for label, ways in patterns.items():
        for sentence in sentences(ways, slots, rng, per_label):
            yield Row(label, as_typed(sentence, rng), label, rng.choice(systems))


OPENERS = ("Hi, ", "Hello, ", "Hi there, ", "Hey, ", "Good morning, ", "Hi team, ", "Quick one: ")
CLOSERS = (" Thanks!", " Thank you.", " Please help.", " Cheers", " Any idea?", " Kind regards")


def as_typed(sentence: str, rng: Random) -> str:
    """Now and then a greeting, a thank-you, no capitals, no full stop or a slip of the finger."""
    text = sentence
    if rng.random() < 0.14:
        text = rng.choice(OPENERS) + uncapitalised(text)
    if rng.random() < 0.12:
        text += rng.choice(CLOSERS)
    if rng.random() < 0.22:
        text = text.lower()
    if rng.random() < 0.2:
        text = text.rstrip(".!")
    if rng.random() < 0.1:
        text = slip(text, rng)
    return text


def uncapitalised(text: str) -> str:
    """Small first letter, but not of "I", "I'm" or a name in capitals like VPN."""
    first = text.split(" ", 1)[0]
    return text if first.startswith("I") or first[1:2].isupper() else text[0].lower() + text[1:]


def slip(text: str, rng: Random) -> str:
    """Two neighbouring letters inside one word change places."""
    words = text.split(" ")
    long = [index for index, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return text
    index = rng.choice(long)
    word, at = words[index], rng.randrange(1, len(words[index]) - 2)
    words[index] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)
