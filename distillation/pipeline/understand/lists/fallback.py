"""The label for all that is left, which people name in a sentence of its own.

"… red, green or blue. Anything else is *other*." A few readings of such a list, with one name more.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from distillation.pipeline.understand.labels import MAX_LABEL_CHARS, label_key
from distillation.pipeline.understand.lists.candidates import ListCandidate, clean
from distillation.pipeline.understand.lists.words import CONDITION, ELSE, FUNCTION

MAX_READINGS = 14
_QUOTED = re.compile(r"[\"“„«»`‘'*]\s?([^\"“”„«»`‘’*\n]{1,40}?)\s?[\"”“»«`’'*](?!\w)")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?!\s|$)[^.!?\n]*)*")


def with_fallback(
    item: ListCandidate, texts: Mapping[str, str], language: str
) -> Iterator[ListCandidate]:
    """Yield it with each fallback that the words may name."""
    named = islice(dict.fromkeys(_fallbacks(item, texts, language)), MAX_READINGS)
    for name in named:
        if label_key(name) not in item.key and 0 < len(name) <= MAX_LABEL_CHARS:
            yield _plus(item, [name])


def _plus(item: ListCandidate, names: Sequence[str]) -> ListCandidate:
    return replace(
        item,
        names=(*item.names, *names),
        descriptions=(*(item.descriptions or ("",) * len(item.names)), *("" for _ in names)),
        form=f"{item.form} plus",
        key=item.key | {label_key(name) for name in names},
    )


def _fallbacks(item: ListCandidate, texts: Mapping[str, str], language: str) -> Iterator[str]:
    places = dict.fromkeys((item.place, "text", "policy", "objective"))
    for place in places:
        text = texts.get(place, "")[item.end if place == item.place else 0 :]
        for match in islice(_SENTENCE.finditer(text), 25):
            sentence = match.group()
            words = set(re.findall(r"\w+", sentence.lower()))
            if words & ELSE[language]:
                yield from _names_of(sentence, language)
            elif place == item.place:
                yield from (clean(name) for name in _QUOTED.findall(sentence)[:2])
                yield from _before_condition(sentence, language)


def _before_condition(sentence: str, language: str) -> Iterator[str]:
    """Yield "unsure" of "Use unsure if it could be either"."""
    words = [clean(word) for word in sentence.split()[:8]]
    for number, word in enumerate(words[1:], 1):
        if word.lower() in CONDITION[language]:
            yield words[number - 1]
            return


def _names_of(sentence: str, language: str) -> Iterator[str]:
    yield from (clean(name) for name in _QUOTED.findall(sentence))
    for clause in re.split(r"[,;:()]|\s[–—-]\s|->|→|=", sentence):
        words = [clean(word) for word in clause.split()]
        for part in (words[-1:], words[-2:], words[:1], words[:2]):
            if part and not {part[0].lower(), part[-1].lower()} & FUNCTION[language]:
                yield " ".join(part)
