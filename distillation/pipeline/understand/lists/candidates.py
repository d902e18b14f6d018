"""Every list that a requirement could mean as its labels or keys, by plain parsing.

    candidates(requirement_text, "text", "en")

It knows forms (commas, slashes, bullets, quotes, templates, ranges), not topics: which of the lists
is meant is decided by `scoring`, which learned it. So it yields many, of which most are wrong.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice, product

from distillation.pipeline.understand.labels import MAX_LABEL_CHARS, label_key
from distillation.pipeline.understand.lists.words import (
    AND,
    ARTICLE,
    CONDITION,
    FUNCTION,
    NOT,
    OR,
    YES,
)

MAX_WORDS = 5  # of one name
MAX_NAMES = 120
MAX_SPANS = 120  # of one text: people list what they mean near its beginning or end
MAX_RUNS = 200  # of one clause
MAX_CANDIDATES = 1500
QUOTES = "\"'“”„‟‘’‚`´«»‹›*"

Span = tuple[int, int]


@dataclass(frozen=True)
class ListCandidate:
    """Names, and where they stand: `start` and `end` are those of the first and the last."""

    names: tuple[str, ...]
    form: str
    place: str  # "text" | "objective" | "policy" | "examples"
    start: int = 0
    end: int = 0
    joined: str = ""  # the word or mark before the last name
    descriptions: tuple[str, ...] = ()
    cut: tuple[int, int] = (0, 0)  # words left out before the first and after the last name
    tail: bool = False  # the last name is the end of its clause: "everything else is other"
    key: frozenset[str] = field(default_factory=frozenset, compare=False)


def candidates(text: str, place: str, language: str) -> list[ListCandidate]:
    """Return the lists of one text, without repetition, in the order of their forms."""
    forms = (_lines, _heads, _quoted, _templates, _ranges, _spelled, _inline)
    unique: dict[tuple[tuple[str, ...], str, int], ListCandidate] = {}
    for form in forms:
        for item in islice(form(text, language), MAX_CANDIDATES):
            if made := _made(item, place):
                unique.setdefault((made.names, made.form, made.start), made)
    return list(unique.values())


@dataclass(frozen=True)
class _Parsed:
    spans: tuple[Span, ...]
    names: tuple[str, ...]
    form: str
    joined: str = ""
    descriptions: tuple[str, ...] = ()
    cut: tuple[int, int] = (0, 0)
    tail: bool = False


def clean(name: str) -> str:
    name = " ".join(name.split())
    while name and (name[0] in QUOTES + "([" or name[-1] in QUOTES + ".,;:!?)]"):
        bare = name.strip(QUOTES + " ").rstrip(".,;:!?").strip()
        if bare.startswith("[") and bare.endswith("]") and len(bare) > 2:
            return bare
        bare = bare if _balanced(bare) else bare.strip("()[] ")
        if bare == name:
            break
        name = bare
    return name


def _balanced(name: str) -> bool:
    return name.count("(") == name.count(")") and name.count("[") == name.count("]")


def _made(parsed: _Parsed, place: str) -> ListCandidate | None:
    names = [clean(name) for name in parsed.names]
    notes = parsed.descriptions or ("",) * len(names)
    unique: dict[str, tuple[str, str]] = {}
    for name, note in zip(names, notes, strict=True):
        if not name or len(name) > MAX_LABEL_CHARS or "\n" in name or name[0] == "{":
            return None
        unique.setdefault(label_key(name), (name, " ".join(note.split()).strip(" ,;.)(-–—:")))
    if not 2 <= len(unique) <= MAX_NAMES:
        return None
    return ListCandidate(
        names=tuple(name for name, _ in unique.values()),
        form=parsed.form,
        place=place,
        start=parsed.spans[0][0],
        end=parsed.spans[-1][1],
        joined=parsed.joined,
        descriptions=tuple(note for _, note in unique.values()),
        cut=parsed.cut,
        tail=parsed.tail,
        key=frozenset(unique),
    )


# --- Lists one item a line --------------------------------------------------------------------

_BULLET = re.compile(r"^\s*(?:[-*•–·+‣▪]|\(?\d{1,2}[.)]|[a-z][.)])\s+")
_APART = re.compile(r"\s*(?:<-|->|=>|→|⇒|:|=|\t|\s[–—-]{1,2}\s|\s\(|\|)\s*")


def _lines(text: str, language: str) -> Iterator[_Parsed]:
    blocks = list(_blocks(text))
    runs = [run for block in blocks for run in _of_one_bullet(text, block)]
    bulleted = [
        line for block in blocks for line in block if _BULLET.match(text[line[0] : line[1]])
    ]
    for block in [*blocks, *runs, bulleted]:
        for skip in (0, 1, 2):  # a block may begin with its heading
            for parsed in _of_block(text, block[skip:]):
                yield replace(parsed, cut=(skip, 0))


def _of_block(text: str, block: Sequence[Span]) -> Iterator[_Parsed]:
    if not 2 <= len(block) <= MAX_NAMES:
        return
    bare = [_without_bullet(text, line) for line in block]
    parts = [_apart(text[a:b]) for a, b in bare]
    heads = tuple(head for head, _ in parts)
    has_bullets = all(a != b for (a, _), (b, _) in zip(bare, block, strict=True))
    form = "bullets" if has_bullets else "lines"
    if all(len(head.split()) <= MAX_WORDS + 1 for head in heads):
        yield _Parsed(tuple(bare), heads, form, descriptions=tuple(note for _, note in parts))
    notes = tuple(note for _, note in parts)
    if all(notes) and all(len(note.split()) <= MAX_WORDS for note in notes):
        yield _Parsed(tuple(bare), notes, "right_side", descriptions=heads)
    last = tuple(re.split(r"->|=>|→|⇒", text[a:b])[-1] for a, b in bare)
    if last != notes and all(len(name.split()) <= MAX_WORDS for name in last):
        yield _Parsed(tuple(bare), last, "right_side")


def _blocks(text: str) -> Iterator[list[Span]]:
    """Lines that follow each other, up to an empty one; headings that end with a colon end them."""
    block: list[Span] = []
    for match in re.finditer(r"[^\n]*\n?", text):
        line = match.group().strip()
        if not line or line.endswith(":") or re.fullmatch(r"[|\s:-]+", line):
            if len(block) > 1:
                yield block
            block = []
        else:
            block = [*block, (match.start(), match.start() + len(match.group().rstrip()))]
    if len(block) > 1:
        yield block


def _of_one_bullet(text: str, block: Sequence[Span]) -> Iterator[list[Span]]:
    """Split lines where the kind of their bullet changes, as at a numbered heading."""
    for _, group in groupby(block, key=lambda line: _kind_of_bullet(text[line[0] : line[1]])):
        if len(run := list(group)) > 1 and len(run) < len(block):
            yield run


def _kind_of_bullet(line: str) -> str:
    bullet = _BULLET.match(line)
    return re.sub(r"\d+", "1", bullet.group().strip()) if bullet else ""


def _without_bullet(text: str, line: Span) -> Span:
    bullet = _BULLET.match(text[line[0] : line[1]])
    start = line[0] + bullet.end() if bullet else line[0]
    while start < line[1] and text[start] in " |\t":
        start += 1
    return start, line[1]


def _apart(item: str) -> tuple[str, str]:
    parts = _APART.split(item, maxsplit=1)
    return parts[0].strip(), parts[1].strip() if len(parts) == 2 else ""


# --- "a: this, b: that" in one line -------------------------------------------------------------

_NAME = (
    r"(?:[\"'“„‘«`][^\"'”“’»`\n]{1,40}[\"'”“’»`]|[\w\[#][\w\]'’/&.+#-]*(?: [\w&][\w'’/&.+-]*){0,3})"
)
_SIGNS = {
    ":": r"\s*:\s",
    "=": r"\s*=\s*",
    "(": r"\s*\(",
    "->": r"\s*(?:->|=>|→|⇒)\s*",
    "-": r"\s[–—-]\s",
}


def _heads(text: str, language: str) -> Iterator[_Parsed]:
    joins = "|".join(map(re.escape, sorted(OR[language] | AND[language])))
    begin = rf"(?:^|[\n;,.:(!?]\s*|(?<=[-*•–])\s+|\b(?:{joins})\s+)(?:(?:{joins})\s+)?"
    for form, sign in _SIGNS.items():
        pattern = re.compile(rf"{begin}(?P<name>{_NAME})(?={sign})", re.M | re.I)
        yield from _of_heads(text, list(islice(pattern.finditer(text), MAX_SPANS)), f"head {form}")
    conditions = "|".join(map(re.escape, CONDITION[language]))
    named = r"(?:[\"'“„‘«`][^\"'”“’»`\n]{1,40}[\"'”“’»`]|[\w-]+(?: [\w-]+){0,1})"
    pattern = re.compile(rf"{begin}(?P<name>{named})(?=\s+(?:{conditions})\b)", re.M | re.I)
    yield from _of_heads(text, list(islice(pattern.finditer(text), MAX_SPANS)), "head if")
    coded = re.compile(rf"{begin}(?P<name>\d{{1,3}}|[A-Z]\d{{0,3}})(?=\s+[^\W\d])", re.M)
    yield from _of_heads(text, list(islice(coded.finditer(text), MAX_SPANS)), "head code")
    arrows = re.compile(r"(?:->|=>|→|⇒)\s*(?P<name>[^\n,;.→]{1,40}?)(?=\s*(?:[\n,;.]|$))", re.M)
    yield from _of_heads(text, list(islice(arrows.finditer(text), MAX_SPANS)), "right_side")


def _of_heads(text: str, found: Sequence[re.Match[str]], form: str) -> Iterator[_Parsed]:
    for first in range(min(3, max(len(found) - 1, 0))):
        kept = found[first:]
        spans = tuple(match.span("name") for match in kept)
        ends = [match.start() for match in kept[1:]] + [_end_of_line(text, spans[-1][1])]
        notes = tuple(
            text[b:end].strip(" :=->→⇒–—(") for (_, b), end in zip(spans, ends, strict=True)
        )
        notes = ("",) * len(notes) if form == "right_side" else notes
        for start in _word_starts(text, spans[0]):
            spans = ((start, spans[0][1]), *spans[1:])
            yield _Parsed(spans, tuple(text[a:b] for a, b in spans), form, descriptions=notes)


def _word_starts(text: str, span: Span) -> list[int]:
    """The first name may have the rest of a sentence before it."""
    if text[span[0]] in QUOTES:
        return [span[0]]
    return [span[0] + match.start() for match in re.finditer(r"\S+", text[slice(*span)])]


def _end_of_line(text: str, start: int) -> int:
    end = re.search(r"[\n;]|[.!?](?:\s|$)", text[start:])
    return start + end.start() if end else len(text)


# --- Quotes, templates, ranges, spelling ----------------------------------------------------------

_QUOTED = re.compile(
    r"“([^“”\n]{1,60})”|„([^„“”\n]{1,60})[“”]|«\s?([^«»\n]{1,60}?)\s?»|»([^«»\n]{1,60})«"
    r"|‘([^‘’\n]{1,60})’|`([^`\n]{1,60})`|\"([^\"\n]{1,60})\"|(?<!\w)'([^'\n]{1,60})'(?!\w)"
    r"|\*\*([^*\n]{1,60})\*\*"
)


def _quoted(text: str, language: str) -> Iterator[_Parsed]:
    found = list(islice(_QUOTED.finditer(text), MAX_SPANS))
    for group in (*_near(text, found), found):
        if len(group) > 1:
            spans = tuple(match.span() for match in group)
            names = tuple(next(part for part in match.groups() if part) for match in group)
            joined = re.findall(r"[\w,/|;&]+", text[spans[-2][1] : spans[-1][0]].lower())
            yield _Parsed(spans, names, "quoted", joined=joined[-1] if joined else "")


def _near(text: str, found: Sequence[re.Match[str]]) -> Iterator[list[re.Match[str]]]:
    """Group what only a mark, a conjunction or a remark in brackets stands between."""
    group: list[re.Match[str]] = []
    for match in found:
        gap = re.sub(r"\([^)]*\)", "", text[group[-1].end() : match.start()]) if group else ""
        if group and (len(gap.split()) > 2 or len(gap) > 20 or re.search(r"[.!?]\s", gap)):
            yield group
            group = []
        group.append(match)
    yield group


_KEY = re.compile(r"[\"'“”`]?([^\W\d][\w .-]{0,40}?)[\"'“”`]?\s*(?=[:,}\]\n]|$)")


def _templates(text: str, language: str) -> Iterator[_Parsed]:
    for start in islice((n for n, char in enumerate(text) if char == "{"), 20):
        end, keys = _members(text, start)
        if keys:
            spans = ((start, end),) * len(keys)
            yield _Parsed(spans, tuple(keys), "template")


def _members(text: str, start: int) -> tuple[int, list[str]]:
    """Return where an object ends, and its keys: also of one that is only drafted: {a, b: text}."""
    keys: list[str] = []
    depth, expects, position = 0, True, start
    while position < len(text):
        char = text[position]
        if char in "{[(":
            depth += 1
        elif char in "}])":
            depth -= 1
            if depth == 0:
                return position + 1, keys
        elif depth == 1 and expects and (match := _KEY.match(text, position)):
            keys.append(match[1].strip())
            expects, position = False, match.end() - 1
        elif depth == 1 and char in ",\n;":
            expects = True
        elif depth == 1 and char in "\"'“" and not expects:
            closing = re.compile(r"[\"'”]").search(text, position + 1)
            position = closing.start() if closing else position
        position += 1
    return position, []


_TO = r"(?:-|–|—|\.\.+|…|to|through|thru|bis|à|a|al|hasta|até|tot|t/m|and|und|et|y|e|en)"
_RANGE = re.compile(
    rf"(?<![\w.,-])(\w{{0,3}}?)(\d{{1,3}})\s*{_TO}\s*\1(\d{{1,3}})(?![\w%]|[.,]\d)", re.I
)
_LETTERS = re.compile(rf"(?<!\w)([A-Z])\s*{_TO}\s*([A-Z])(?!\w)")


def _ranges(text: str, language: str) -> Iterator[_Parsed]:
    plain = re.sub(r"\([^()\n]*\)", lambda match: " " * len(match.group()), text)
    for match in islice(_RANGE.finditer(plain), MAX_SPANS):
        low, high = int(match[2]), int(match[3])
        if low < high <= low + 20 and not match[1].isdigit():
            names = tuple(f"{match[1]}{number}" for number in range(low, high + 1))
            yield _Parsed((match.span(),) * len(names), names, "range")
    for match in islice(_LETTERS.finditer(plain), MAX_SPANS):
        letters = tuple(map(chr, range(ord(match[1]), ord(match[2]) + 1)))
        if len(letters) > 2:
            yield _Parsed((match.span(),) * len(letters), letters, "range")


_SPELLINGS = {
    "snake": re.compile(r"(?<![\w/.-])[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?![\w/])"),
    "caps": re.compile(r"(?<![\w/.-])[A-ZÄÖÜÉ][A-ZÄÖÜÉ0-9]+(?:[_-][A-Z0-9]+)*(?![\w/])"),
    "camel": re.compile(r"(?<![\w/.-])[a-z]+(?:[A-Z][a-z0-9]+)+(?![\w/])"),
    "brackets": re.compile(r"\[[^\[\]\n]{1,30}\]"),
}


def _spelled(text: str, language: str) -> Iterator[_Parsed]:
    for form, pattern in _SPELLINGS.items():
        found = [match.span() for match in islice(pattern.finditer(text), MAX_SPANS)]
        for spans in (found, *_by_sentence(text, found)):
            if len(spans) > 1:
                yield _Parsed(tuple(spans), tuple(text[a:b] for a, b in spans), form)


def _by_sentence(text: str, spans: Sequence[Span]) -> Iterator[list[Span]]:
    group: list[Span] = []
    for span in spans:
        if group and re.search(r"[.!?]\s|\n", text[group[-1][1] : span[0]]):
            yield group
            group = []
        group.append(span)
    yield group


# --- Lists in a sentence -------------------------------------------------------------------------

_STOP = re.compile(r"(?:[.!?:](?=\s|$)|\n|\s[–—-]{1,2}\s|->|=>|→|[()¿¡])")


@dataclass(frozen=True)
class _Atom:
    start: int
    end: int
    before: str  # the mark or conjunction before it
    words: tuple[Span, ...]


def _inline(text: str, language: str) -> Iterator[_Parsed]:
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


def _spaced(text: str, start: int, end: int, language: str) -> Iterator[_Parsed]:
    """Read the last words of a clause as names with nothing between: "json: name age city"."""
    words = [match.span() for match in re.finditer(r"[^\s\x00]+", text[start:end])]
    if any(mark in text[start:end] for mark in ",;/|"):
        return
    for count in range(3, min(len(words), 9) + 1):
        spans = tuple((a + start, b + start) for a, b in words[-count:])
        if any(text[a:b].lower() in FUNCTION[language] for a, b in spans):
            break
        cut = (len(words) - count, 0)
        yield _Parsed(spans, tuple(text[a:b] for a, b in spans), "spaced", cut=cut)


def _clauses(text: str) -> Iterator[Span]:
    start = 0
    for match in _STOP.finditer(text):
        if match.start() > start:
            yield start, match.start()
        start = match.end()
    if start < len(text):
        yield start, len(text)


def _of_clause(text: str, start: int, end: int, pattern: str, language: str) -> Iterator[_Parsed]:
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


def _trimmed(text: str, items: Sequence[_Atom], language: str, form: str) -> Iterator[_Parsed]:
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
        yield _Parsed(spans, names, form, items[-1].before, (), (front, back), tail)


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


def merged(found: Iterable[ListCandidate]) -> dict[frozenset[str], list[ListCandidate]]:
    """Group those that name the same: a list that is repeated is likelier meant."""
    result: dict[frozenset[str], list[ListCandidate]] = {}
    for candidate in found:
        result.setdefault(candidate.key, []).append(candidate)
    return result
