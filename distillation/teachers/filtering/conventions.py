"""What nearly all answers of a task have in common, learned from the rows themselves: a row that
differs is most likely wrong. No Django inside.

A facet says of a row whether something holds: the answer ends as the others do, is one line, all
its numbers stand in the input, its dates do, its items are all that the input names … Where a facet
holds for nearly all rows and for every example of the user it is a convention, and the few rows
that break it are refused. Nothing is assumed of a task: a facet that many break says nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from distillation.pipeline.text import words
from distillation.pipeline.types import Example
from distillation.pipeline.understand.task_kind import json_object
from distillation.teachers.filtering.grounding import (
    date_is_in,
    number_is_in,
    numbers_in,
    shape_of,
    stands_in,
    strange_words,
)
from distillation.teachers.filtering.rows import TaughtRow

NEARLY_ALL = 0.95
# A convention decides alone where no more rows than these break it; else it only casts doubt.
FEW_SHARE, FEW_ROWS = 0.025, 3
LEAST_ROWS = 30  # of which a facet must say something, before it is believed
UNUSUAL = "breaks what all other rows keep to"

Facet = Callable[[str, str], bool | None]  # input, output; None: it says nothing of this row


@dataclass(frozen=True)
class Convention:
    name: str
    holds: Facet
    decides: bool  # False: border cases break it as well as mistakes; it only casts doubt


def refuse_unusual(rows: Sequence[TaughtRow], examples: Sequence[Example], kind: str) -> None:
    """Refuse the kept rows that break a convention of all of them, or mark them as doubtful."""
    kept = [row for row in rows if row.is_kept]
    for convention in conventions(kept, examples, kind):
        for row in kept:
            if convention.holds(row.input, row.output) is False:
                row.is_unusual = True
                if convention.decides:
                    row.refuse(UNUSUAL, convention.name)


def conventions(
    rows: Sequence[TaughtRow], examples: Sequence[Example], kind: str
) -> list[Convention]:
    pairs = [row.example for row in rows]
    if kind == "extract_json":
        facets = dict(_json_facets([*examples, *pairs]))
    elif kind in ("generate", "number", "sql"):
        facets = dict(_text_facets([*examples, *pairs]))
    else:
        return []
    judged = (_judged(name, holds, pairs, examples) for name, holds in facets.items())
    return [convention for convention in judged if convention]


def _judged(
    name: str, holds: Facet, pairs: Sequence[Example], examples: Sequence[Example]
) -> Convention | None:
    """Return the facet as a convention, where nearly all rows and all examples keep to it."""
    if any(holds(example.input, example.output) is False for example in examples):
        return None
    said = [holds(pair.input, pair.output) for pair in pairs]
    known = [value for value in said if value is not None]
    if len(known) < LEAST_ROWS or sum(known) < NEARLY_ALL * len(known):
        return None
    few = max(FEW_ROWS, FEW_SHARE * len(known))
    decides = len(known) - sum(known) <= few and not name.endswith(IS_COMPLETE)
    return Convention(name, holds, decides)


# --- texts ----------------------------------------------------------------------------------------

_PREAMBLE = re.compile(
    r"^(?:sure|certainly|of course|okay|here(?:'s| is)|as an ai)\b|^\w+(?: \w+){0,2}:\s", re.I
)
_END = re.compile(r"[\w\s]")


def _text_facets(pairs: Sequence[Example]) -> Iterator[tuple[str, Facet]]:
    ends = Counter(_end_of(pair.output) for pair in pairs)
    end = ends.most_common(1)[0][0] if ends else ""
    yield f"ends with “{end}”" if end else "ends with a letter", lambda _, o: _end_of(o) == end
    yield "is one line", lambda _, output: "\n" not in output
    yield "begins with a capital", lambda _, output: _is_capital(output)
    yield "has no preamble", lambda _, output: not _PREAMBLE.match(output)
    yield "its numbers stand in the input", _numbers_stand
    yield "says nothing that the input does not", lambda i, o: not strange_words(i, o)
    yield "says little that the input does not", lambda i, o: len(strange_words(i, o)) <= 1
    yield "is not a copy of a part of the input", _is_no_copy


def _end_of(text: str) -> str:
    last = text[-1:]
    return "" if _END.match(last) else last


def _is_capital(text: str) -> bool | None:
    first = text[:1]
    return first.isupper() if first.isalpha() else None


def _numbers_stand(given: str, output: str) -> bool | None:
    numbers = numbers_in(output)
    return all(number_is_in(number, given) for number in numbers) if numbers else None


def _is_no_copy(given: str, output: str) -> bool:
    return " ".join(words(output)) not in " ".join(words(given))


# --- JSON -----------------------------------------------------------------------------------------

Path = tuple[str, ...]  # keys from the top; "[]" for the items of a list
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
YEAR = 4  # digits
IS_COMPLETE = "is complete"


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, (*path, "[]"))
    else:
        yield path, value


def values_at(output: str, path: Path) -> list[Any]:
    value = json_object(output)
    return [leaf for at, leaf in leaves(value) if at == path and leaf is not None]


def _json_facets(pairs: Sequence[Example]) -> Iterator[tuple[str, Facet]]:
    at: dict[Path, list[Any]] = {}
    keys: Counter[frozenset[str]] = Counter()
    for pair in pairs:
        value = json_object(pair.output)
        keys[frozenset(value or ())] += 1
        for path, leaf in leaves(value):
            if leaf is not None:
                at.setdefault(path, []).append(leaf)
    usual = keys.most_common(1)[0][0] if keys else frozenset()
    yield "has the usual keys", lambda _, o: frozenset(json_object(o) or ()) == usual
    for path, values in at.items():
        yield from _facets_at(path, values)


def _facets_at(path: Path, values: Sequence[Any]) -> Iterator[tuple[str, Facet]]:
    name = ".".join(path)
    kinds = Counter(type(value) for value in values)
    kind = kinds.most_common(1)[0][0]
    yield f"{name} is of one type", _for_all(path, lambda value, _: type(value) is kind)
    if kind is str:
        yield from _string_facets(path, name, [v for v in values if isinstance(v, str)])
    elif kind in (int, float):
        yield (
            f"{name} stands in the input",
            _for_all(path, lambda value, given: number_is_in(str(value), given)),
        )


def _string_facets(path: Path, name: str, values: Sequence[str]) -> Iterator[tuple[str, Facet]]:
    shape = Counter(map(shape_of, values)).most_common(1)[0][0]
    yield f"{name} has the usual form", _for_all(path, lambda v, _: shape_of(str(v)) == shape)
    if ISO_DATE.fullmatch(values[0]):
        year = Counter(value[:YEAR] for value in values).most_common(1)[0][0]
        yield f"{name} is in {year}", _for_all(path, lambda v, _: str(v)[:YEAR] == year)
        yield f"{name} is a date of the input", _for_all(path, lambda v, i: date_is_in(str(v), i))
    else:
        yield f"{name} stands in the input", _for_all(path, lambda v, i: stands_in(str(v), i))
        yield f"{name} {IS_COMPLETE}", _complete(path, shape)
        yield f"{name} is in the order of the input", _in_order(path)


def _for_all(path: Path, holds: Callable[[Any, str], bool]) -> Facet:
    def facet(given: str, output: str) -> bool | None:
        values = values_at(output, path)
        return all(holds(value, given) for value in values) if values else None

    return facet


def _complete(path: Path, shape: str) -> Facet:
    """Whether all words of the input that have the form of this field's values are in the answer,
    as a value of this field or of another one."""

    def facet(given: str, output: str) -> bool | None:
        named = {word for word in re.findall(r"[\w-]+", given) if shape_of(word) == shape}
        if not named or not values_at(output, path) or not re.search(r"[^A-Za-z]", shape):
            return None
        values = [str(value).casefold() for _, value in leaves(json_object(output))]
        return all(any(word.casefold() in value for value in values) for word in named)

    return facet


def _in_order(path: Path) -> Facet:
    def facet(given: str, output: str) -> bool | None:
        places = [given.casefold().find(str(v).casefold()) for v in values_at(output, path)]
        found = [place for place in places if place >= 0]
        return found == sorted(found) if len(found) > 1 else None

    return facet
