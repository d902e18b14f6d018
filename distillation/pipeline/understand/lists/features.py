"""What is seen of one list of names, as numbers: its form, its place, its company.

No number knows a topic; `scoring` learned from the collection which of them speak for labels or
keys.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.lists.candidates import ListCandidate
from distillation.pipeline.understand.lists.parsed import QUOTES
from distillation.pipeline.understand.lists.words import (
    AND,
    AND_SO_ON,
    FUNCTION,
    LABEL_NOUNS,
    NEGATION,
    NUMBERS,
    OR,
    SAMPLE,
)

FORMS = (
    "inline", "inline_cut", "spaced", "bullets", "lines", "right_side", "quoted", "template",
    "range", "snake", "caps", "camel", "brackets", "head :", "head =", "head (", "head ->",
    "head -", "head if", "head code", "examples",
)  # fmt: skip
PLACES = ("text", "objective", "policy", "examples")
CONTEXT_CHARS = 90
SPECIAL = ("caps", "snake", "digit", "capital")


@dataclass(frozen=True)
class Asked:
    """The texts that lists stand in, and what the examples answer."""

    texts: Mapping[str, str]
    outputs: tuple[str, ...]
    example_keys: tuple[str, ...]
    language: str

    @property
    def output_keys(self) -> frozenset[str]:
        return frozenset(map(label_key, self.outputs))


def left_context(candidate: ListCandidate, texts: Mapping[str, str]) -> str:
    """Return the words before a list: on its line, else the line above it."""
    before = texts.get(candidate.place, "")[: candidate.start].rstrip(
        QUOTES + "-*•–·0123456789.([| \n\t"
    )
    line = before.rsplit("\n", 1)[-1]
    return _from_word(line[-CONTEXT_CHARS:])


def right_context(candidate: ListCandidate, texts: Mapping[str, str]) -> str:
    after = texts.get(candidate.place, "")[candidate.end :]
    return re.split(r"\n", after, maxsplit=1)[0][:CONTEXT_CHARS].strip()


def sentence(candidate: ListCandidate, texts: Mapping[str, str]) -> str:
    text = texts.get(candidate.place, "")
    start = max(text.rfind(mark, 0, candidate.start) for mark in (". ", "? ", "! ", "\n")) + 1
    end = re.search(r"[.!?](?:\s|$)|\n", text[candidate.end :])
    return text[start : candidate.end + (end.start() if end else 200)].strip()[:400]


def _from_word(text: str) -> str:
    return text.split(" ", 1)[-1] if len(text) == CONTEXT_CHARS else text


def features(candidate: ListCandidate, asked: Asked, repeats: int) -> list[float]:
    return [
        *_form(candidate),
        *_shape(candidate, asked.language),
        *_edges(candidate, asked),
        *_company(candidate, asked, repeats),
    ]


def _form(item: ListCandidate) -> list[float]:
    form = item.form.removesuffix(" plus")
    return [
        *(float(form == name) for name in FORMS),
        *(float(item.place == name) for name in PLACES),
        float(item.form.endswith(" plus")),
        float(item.tail),
    ]


def _shape(item: ListCandidate, language: str) -> list[float]:
    words = [len(name.split()) for name in item.names]
    first, last, inner = words[0], words[-1], words[1:-1] or words
    mean = sum(inner) / len(inner)
    looks = [_look(name) for name in item.names]
    usual = max(looks, key=looks.count)  # the first of several: the same in each process
    small = [
        sum(word in FUNCTION[language] for word in name.lower().split()) for name in item.names
    ]
    count = len(item.names)
    described = sum(map(bool, item.descriptions)) / count
    return [
        float(count == 2),
        float(count == 3),
        float(4 <= count <= 8),
        float(8 < count <= 16),
        float(count > 16),
        mean,
        max(words),
        float(mean == 1),
        abs(first - mean),
        abs(last - mean),
        max(first - mean, 0),
        max(last - mean, 0),
        float(looks[0] == usual),
        float(looks[-1] == usual),
        looks.count(usual) / count,
        *(float(usual == look) for look in ("lower", "capital", "caps", "snake", "digit", "mixed")),
        float(looks[0] == "capital" and usual == "lower"),
        sum(small) / count,
        float(small[0] > 0),
        float(small[-1] > 0),
        float(first > 1 and small[0] > 0),
        described,
        float(described == 1),
        float(any(name.lower().split()[0] in NEGATION[language] for name in item.names)),
        sum(map(len, item.names)) / count / 10,
        float(count == 2) * min(abs(first - last), 3),
        float(count == 2 and item.names[1].lower().endswith(f" {item.names[0].lower()}")),
        float(all(len(name) == 1 for name in item.names)),
        float(len({len(name.split()) for name in item.names}) == 1),
        *_joined(item.joined, language),
    ]


def _joined(joined: str, language: str) -> list[float]:
    word = re.sub(r"[,;\s]", "", joined)
    return [
        float(word in OR[language]),
        float(word in AND[language]),
        float("/" in joined or "|" in joined),
        float(joined == ","),
        float(";" in joined),
    ]


def _look(name: str) -> str:
    if re.fullmatch(r"[\d.,%+<>-]+k?", name):
        return "digit"
    if "_" in name or re.search(r"[a-z][A-Z]", name):
        return "snake"
    if name.isupper():
        return "caps"
    if name.islower():
        return "lower"
    return "capital" if name[0].isupper() and name[1:].islower() else "mixed"


def _edges(item: ListCandidate, asked: Asked) -> list[float]:
    """Say what stands right before the first and right after the last name."""
    text = asked.texts.get(item.place, "")
    before, after = text[: item.start].rstrip(" "), text[item.end :]
    mark = before[-1:] if before else "^"
    quoted = mark in QUOTES
    opened = before.rstrip(QUOTES + " ")[-1:] if quoted else mark
    word = (re.findall(r"[\w'’]+$", before.lower()) or [""])[0]
    following = after.lstrip(QUOTES + "*")[:1]
    next_word = (re.match(r"[\s\"”»'’]*([\w’']+)", after.lower()) or [""])[0].strip(" \"”»'’")
    usual = max(map(_look, item.names), key=list(map(_look, item.names)).count)
    goes_on = re.match(r"\s([\w]+)", after)
    begins = re.search(r"([\w]+)\s$", text[: item.start])
    region = (left_context(item, asked.texts) + text[item.start : item.end]).lower()
    return [
        float(quoted),
        float(opened == ":"),
        float(opened in "^\n"),
        float(opened == "("),
        float(opened in ">→"),
        float(opened in ",;"),
        float(opened in ".!?"),
        float(opened in "-–—"),
        float(bool(word) and word in FUNCTION[asked.language]),
        float(bool(word) and word not in FUNCTION[asked.language]),
        float(word in OR[asked.language] | AND[asked.language]),
        float(following in "" or following == "\n"),
        float(following in ".!?" and following != ""),
        float(following in ",;" and following != ""),
        float(following in ")]" and following != ""),
        float(bool(next_word) and following == " " and next_word in FUNCTION[asked.language]),
        float(bool(next_word) and following == " " and next_word not in FUNCTION[asked.language]),
        min(item.cut[0], 5),
        min(item.cut[1], 5),
        float(item.cut[0] == 0),
        float(item.cut[1] == 0),
        float(any(mark in region for mark in SAMPLE[asked.language])),
        float(any(mark in (region + after[:12]).lower() for mark in AND_SO_ON)),
        float(any(word in NEGATION[asked.language] for word in re.findall(r"\w+", region)[-14:])),
        item.start / max(len(text), 1),
        float(_ordinal(text, item.start) == 0),
        float(_ordinal(text, item.start) == 1),
        float("json" in region),
        float(goes_on is not None and _look(goes_on[1]) == usual),
        float(goes_on is not None and _look(goes_on[1]) == usual and usual in SPECIAL),
        float(begins is not None and _look(begins[1]) == usual and usual in SPECIAL),
    ]


def _ordinal(text: str, start: int) -> int:
    return len(re.findall(r"[.!?]\s|\n", text[:start]))


def _company(item: ListCandidate, asked: Asked, repeats: int) -> list[float]:
    outputs, keys = asked.output_keys, frozenset(map(label_key, asked.example_keys))
    shared, members = len(outputs & item.key), len(keys & item.key)
    numbers, counted = _counts(" ".join(asked.texts.values()), asked.language)
    return [
        float(bool(outputs)),
        shared / len(outputs) if outputs else 0.0,
        float(bool(outputs) and outputs <= item.key),
        float(bool(outputs) and not shared),
        sum(output in item.names for output in asked.outputs) / max(len(asked.outputs), 1),
        float(len(asked.outputs) > 2 and outputs == item.key),
        float(bool(keys)),
        members / len(keys) if keys else 0.0,
        float(bool(keys) and keys == item.key),
        float(bool(keys) and not members),
        float(len(item.names) in numbers),
        float(counted == len(item.names)),
        float(counted not in (0, len(item.names))),
        min(repeats - 1, 3),
        *_mentions(item, asked),
    ]


def _mentions(item: ListCandidate, asked: Asked) -> list[float]:
    """Say how many of the names stand elsewhere too, as where a policy explains each."""
    rest = " ".join(
        f"{text[: item.start]} {text[item.end :]}" if place == item.place else text
        for place, text in asked.texts.items()
    ).lower()
    again = [float(_stands_in(name.lower(), rest)) for name in item.names[:20]]
    return [again[0], again[-1], sum(again) / len(again), float(all(again))]


def _stands_in(name: str, text: str) -> bool:
    at = text.find(name)
    while at >= 0:
        if not (text[at - 1 : at].isalnum() or text[at + len(name) : at + len(name) + 1].isalnum()):
            return True
        at = text.find(name, at + 1)
    return False


@lru_cache(maxsize=8)
def _counts(text: str, language: str) -> tuple[set[int], int]:
    return _numbers(text, language), counted_labels(text, language)


def counted_labels(words: str, language: str) -> int:
    """How many labels a requirement speaks of ("one of our 77 topics"); 0: it does not say."""
    numbers = NUMBERS[language]
    named = "|".join([*numbers, r"\d{1,4}"])
    nouns = "|".join(LABEL_NOUNS)
    pattern = rf"\b({named})(?:[ -][\w-]+){{0,2}}?[ -](?:{nouns})\w*"
    match = re.search(pattern, words, re.IGNORECASE)
    if match is None:
        return 0
    number = match[1].lower()
    count = numbers.get(number) or int(number)
    return count if count > 1 else 0


def _numbers(text: str, language: str) -> set[int]:
    words = re.findall(r"[^\W_]+", text.lower())
    named = {NUMBERS[language][word] for word in words if word in NUMBERS[language]}
    return named | {int(word) for word in words if word.isdigit() and len(word) < 4}
