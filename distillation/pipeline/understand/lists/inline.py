"""Lists in a sentence: "red, green or blue", "yes/no", "either a or b"."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

from distillation.pipeline.understand.lists.parsed import (
    MAX_NAMES,
    MAX_RUNS,
    MAX_SPANS,
    MAX_WORDS,
    QUOTES,
    Parsed,
    Span,
)
from distillation.pipeline.understand.lists.words import AND, ARTICLE, FUNCTION, NOT, OR, YES

_STOP = re.compile(r"(?:[.!?:](?=\s|$)|\n|\s[–—-]{1,2}\s|->|=>|→|[()¿¡])")


@dataclass(frozen=True)
class _Atom:
    start: int
    end: int
    before: str  # the mark or conjunction before it
    words: tuple[Span, ...]


def inline_lists(text: str, language: str) -> Iterator[Parsed]:
    """Read brackets as remarks on single names, and as clauses of their own."""
    plain = re.sub(r"\([^()\n]{0,200}\)", lambda match: "\x00" * len(match.group()), text)
    clauses = [(plain, span) for span in _clauses(plain)]
    clauses += [(text, span) for span in _clauses(text) if text[span[0] - 1 : span[0]] == "("]
    for whole, (start, end) in islice(clauses, MAX_SPANS):
        yield from _spaced(whole, start, end, language)
        for mark in (";", r"\|", "/"):
            if re.search(mark, whole[start:end]):
                pattern = rf"\s*{mark}\s*(?:(?:{_any(OR, language)}|{_any(AND, language)})\s+)?"
                yield from _of_clause(whole, start, end, pattern, language)
        pattern = (
            rf"\s*,\s*(?:(?:{_any(OR, language)}|{_any(AND, language)})\s+)?"
            rf"|\s+(?:{_any(OR, language)})\s+"
        )
        for part in re.finditer(r"[^;]+", whole[start:end]):
            yield from _of_clause(
                whole, start + part.start(), start + part.end(), pattern, language
            )


def _any(words: dict[str, frozenset[str]], language: str) -> str:
    return "|".join(map(re.escape, sorted(words[language])))


def _spaced(text: str, start: int, end: int, language: str) -> Iterator[Parsed]:
    """Read the last words of a clause as names with nothing between: "json: name age city"."""
    words = [match.span() for match in re.finditer(r"[^\s\x00]+", text[start:end])]
    if any(mark in text[start:end] for mark in ",;/|"):
        return
    for count in range(3, min(len(words), 9) + 1):
        spans = tuple((a + start, b + start) for a, b in words[-count:])
        if any(text[a:b].lower() in FUNCTION[language] for a, b in spans):
            break
        cut = (len(words) - count, 0)
        yield Parsed(spans, tuple(text[a:b] for a, b in spans), "spaced", cut=cut)


def _clauses(text: str) -> Iterator[Span]:
    start = 0
    for match in _STOP.finditer(text):
        if match.start() > start:
            yield start, match.start()
        start = match.end()
    if start < len(text):
        yield start, len(text)


def _of_clause(text: str, start: int, end: int, pattern: str, language: str) -> Iterator[Parsed]:
    whole = _atoms(text, start, end, re.compile(pattern, re.I))
    each = re.compile(rf"{pattern}|\s+(?:{_any(AND, language)})\s+", re.I)
    every = _atoms(text, start, end, each)
    ended = [_ended(text, atom, language) for atom in every]
    for form, atoms in (("inline", whole), *([("inline_cut", ended)] if ended != every else [])):
        for first, last in islice(_runs(atoms), MAX_RUNS):
            run = atoms[first : last + 1]
            for items in (run, _split_last(text, run, language)):
                if len(items) > 1:
                    yield from _trimmed(text, items, language, form)


def _ended(text: str, atom: _Atom, language: str) -> _Atom:
    """End an item where its remark begins: "children as a list of numbers" is "children"."""
    words = [text[a:b].lower() for a, b in atom.words]
    end = next((n for n, word in enumerate(words) if n > 0 and word in FUNCTION[language]), None)
    if end is None or words[0] in ARTICLE[language]:
        return atom
    return _Atom(atom.start, atom.words[end - 1][1], atom.before, atom.words[:end])


def _atoms(text: str, start: int, end: int, pattern: re.Pattern[str]) -> list[_Atom]:
    atoms, at, before = [], start, ""
    for match in pattern.finditer(text, start, end):
        atoms.append(_atom(text, at, match.start(), before))
        at, before = match.end(), match.group().strip().lower()
    return [atom for atom in (*atoms, _atom(text, at, end, before)) if atom.words]


def _atom(text: str, start: int, end: int, before: str) -> _Atom:
    words = tuple(match.span() for match in re.finditer(r"[^\s\x00]+", text[start:end]))
    return _Atom(start, end, before, tuple((a + start, b + start) for a, b in words))


def _runs(atoms: Sequence[_Atom]) -> Iterator[tuple[int, int]]:
    """Where short ones stand between: its ends may be the ends of longer parts of a sentence."""
    for first in range(len(atoms)):
        is_start = first == 0 or len(atoms[first].words) > 1 or len(atoms[first - 1].words) > 3
        if not is_start and first > 2:
            continue
        for last in range(first, len(atoms)):
            if last > first + 1 and len(atoms[last - 1].words) > MAX_WORDS:
                break
            if last - first >= MAX_NAMES:
                break
            is_end = (
                last == len(atoms) - 1
                or len(atoms[last].words) > 1
                or re.search(r"\w", atoms[last].before)
                or len(atoms[last + 1].words) > 3
            )
            if is_end:
                yield first, last


def _split_last(text: str, run: Sequence[_Atom], language: str) -> list[_Atom]:
    last = run[-1]
    match = re.compile(rf"\s(?:{_any(AND, language)})\s", re.I).search(text, last.start, last.end)
    if match is None:
        return []
    halves = (
        _atom(text, last.start, match.start(), last.before),
        _atom(text, match.end(), last.end, match.group().strip().lower()),
    )
    return [*run[:-1], *halves] if all(half.words for half in halves) else []


def _trimmed(text: str, items: Sequence[_Atom], language: str, form: str) -> Iterator[Parsed]:
    """Cut the rest of the sentence off the first and the last name, in each way that may be."""
    middle = [_without_article(text, atom, language) for atom in items[1:-1]]
    if any(len(words) > MAX_WORDS for words in middle):
        return
    longest = max((len(words) for words in middle), default=3)
    inner = tuple((words[0][0], words[-1][1]) for words in middle)
    lasts = list(_backs(text, items[-1], longest, language))
    for (a, front), (b, back, tail) in product(_fronts(text, items[0], longest, language), lasts):
        spans = (a, *inner, b)
        names = _whole_negation(tuple(text[x:y].replace("\x00", " ") for x, y in spans), language)
        yield Parsed(spans, names, form, items[-1].before, (), (front, back), tail)


def _without_article(text: str, atom: _Atom, language: str) -> tuple[Span, ...]:
    first = text[slice(*atom.words[0])]
    is_article = first.islower() and first in ARTICLE[language]
    return atom.words[1:] if is_article and len(atom.words) > 1 else atom.words


def _counts(words: Sequence[Span], longest: int) -> list[int]:
    """Return how many words an outer name may have: about as many as the others, or all."""
    few = list(range(1, min(len(words), longest + 1, MAX_WORDS) + 1))
    return few if len(words) in few or len(words) > MAX_WORDS else [*few, len(words)]


def _fronts(text: str, atom: _Atom, longest: int, language: str) -> Iterator[tuple[Span, int]]:
    words, end = atom.words, atom.words[-1][1]
    for count in _counts(words, longest):
        first = text[slice(*words[-count])].strip(QUOTES)
        if count == 1 or not _is_function(first, language):
            yield (words[-count][0], end), len(words) - count


def _backs(text: str, atom: _Atom, longest: int, language: str) -> Iterator[tuple[Span, int, bool]]:
    words = _without_article(text, atom, language)
    for count in _counts(words, longest):
        if count == 1 or not _is_function(text[slice(*words[count - 1])].strip(QUOTES), language):
            yield (words[0][0], words[count - 1][1]), len(words) - count, False
    for count in (1, 2) if len(words) > 2 else ():
        if not _is_function(text[slice(*words[-count])].strip(QUOTES), language):
            yield (words[-count][0], words[-1][1]), len(words) - count, True


def _is_function(word: str, language: str) -> bool:
    return word.lower() in FUNCTION[language] and not (len(word) == 1 and word.isupper())


def _whole_negation(names: tuple[str, ...], language: str) -> tuple[str, ...]:
    """Read "urgent or not" as "urgent" and "not urgent"."""
    if len(names) == 2 and names[1].lower() in NOT[language] and names[0].lower() not in YES:
        return (names[0], f"{names[1]} {names[0]}")
    return names
