"""Every list that a requirement could mean as its labels or keys, by plain parsing.

    candidates(requirement_text, "text", "en")

It knows forms (commas, slashes, bullets, quotes, templates, ranges), not topics: which of the lists
is meant is decided by `scoring`, which learned it. So it yields many, of which most are wrong.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

from distillation.pipeline.understand.labels import MAX_LABEL_CHARS, label_key
from distillation.pipeline.understand.lists.inline import inline_lists
from distillation.pipeline.understand.lists.parsed import (
    MAX_CANDIDATES,
    MAX_NAMES,
    MAX_SPANS,
    MAX_WORDS,
    QUOTES,
    Parsed,
    Span,
)
from distillation.pipeline.understand.lists.words import AND, CONDITION, OR


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
    forms = (_lines, _heads, _quoted, _templates, _ranges, _spelled, inline_lists)
    unique: dict[tuple[tuple[str, ...], str, int], ListCandidate] = {}
    for form in forms:
        for item in islice(form(text, language), MAX_CANDIDATES):
            if made := _made(item, place):
                unique.setdefault((made.names, made.form, made.start), made)
    return list(unique.values())


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


def _made(parsed: Parsed, place: str) -> ListCandidate | None:
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


def _lines(text: str, language: str) -> Iterator[Parsed]:
    blocks = list(_blocks(text))
    runs = [run for block in blocks for run in _of_one_bullet(text, block)]
    bulleted = [
        line for block in blocks for line in block if _BULLET.match(text[line[0] : line[1]])
    ]
    for block in [*blocks, *runs, bulleted]:
        for skip in (0, 1, 2):  # a block may begin with its heading
            for parsed in _of_block(text, block[skip:]):
                yield replace(parsed, cut=(skip, 0))


def _of_block(text: str, block: Sequence[Span]) -> Iterator[Parsed]:
    if not 2 <= len(block) <= MAX_NAMES:
        return
    bare = [_without_bullet(text, line) for line in block]
    parts = [_apart(text[a:b]) for a, b in bare]
    heads = tuple(head for head, _ in parts)
    has_bullets = all(a != b for (a, _), (b, _) in zip(bare, block, strict=True))
    form = "bullets" if has_bullets else "lines"
    if all(len(head.split()) <= MAX_WORDS + 1 for head in heads):
        yield Parsed(tuple(bare), heads, form, descriptions=tuple(note for _, note in parts))
    notes = tuple(note for _, note in parts)
    if all(notes) and all(len(note.split()) <= MAX_WORDS for note in notes):
        yield Parsed(tuple(bare), notes, "right_side", descriptions=heads)
    last = tuple(re.split(r"->|=>|→|⇒", text[a:b])[-1] for a, b in bare)
    if last != notes and all(len(name.split()) <= MAX_WORDS for name in last):
        yield Parsed(tuple(bare), last, "right_side")


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


def _heads(text: str, language: str) -> Iterator[Parsed]:
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


def _of_heads(text: str, found: Sequence[re.Match[str]], form: str) -> Iterator[Parsed]:
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
            yield Parsed(spans, tuple(text[a:b] for a, b in spans), form, descriptions=notes)


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


def _quoted(text: str, language: str) -> Iterator[Parsed]:
    found = list(islice(_QUOTED.finditer(text), MAX_SPANS))
    for group in (*_near(text, found), found):
        if len(group) > 1:
            spans = tuple(match.span() for match in group)
            names = tuple(next(part for part in match.groups() if part) for match in group)
            joined = re.findall(r"[\w,/|;&]+", text[spans[-2][1] : spans[-1][0]].lower())
            yield Parsed(spans, names, "quoted", joined=joined[-1] if joined else "")


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


def _templates(text: str, language: str) -> Iterator[Parsed]:
    for start in islice((n for n, char in enumerate(text) if char == "{"), 20):
        end, keys = _members(text, start)
        if keys:
            spans = ((start, end),) * len(keys)
            yield Parsed(spans, tuple(keys), "template")


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


def _ranges(text: str, language: str) -> Iterator[Parsed]:
    plain = re.sub(r"\([^()\n]*\)", lambda match: " " * len(match.group()), text)
    for match in islice(_RANGE.finditer(plain), MAX_SPANS):
        low, high = int(match[2]), int(match[3])
        if low < high <= low + 20 and not match[1].isdigit():
            names = tuple(f"{match[1]}{number}" for number in range(low, high + 1))
            yield Parsed((match.span(),) * len(names), names, "range")
    for match in islice(_LETTERS.finditer(plain), MAX_SPANS):
        letters = tuple(map(chr, range(ord(match[1]), ord(match[2]) + 1)))
        if len(letters) > 2:
            yield Parsed((match.span(),) * len(letters), letters, "range")


_SPELLINGS = {
    "snake": re.compile(r"(?<![\w/.-])[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?![\w/])"),
    "caps": re.compile(r"(?<![\w/.-])[A-ZÄÖÜÉ][A-ZÄÖÜÉ0-9]+(?:[_-][A-Z0-9]+)*(?![\w/])"),
    "camel": re.compile(r"(?<![\w/.-])[a-z]+(?:[A-Z][a-z0-9]+)+(?![\w/])"),
    "brackets": re.compile(r"\[[^\[\]\n]{1,30}\]"),
}


def _spelled(text: str, language: str) -> Iterator[Parsed]:
    for form, pattern in _SPELLINGS.items():
        found = [match.span() for match in islice(pattern.finditer(text), MAX_SPANS)]
        for spans in (found, *_by_sentence(text, found)):
            if len(spans) > 1:
                yield Parsed(tuple(spans), tuple(text[a:b] for a, b in spans), form)


def _by_sentence(text: str, spans: Sequence[Span]) -> Iterator[list[Span]]:
    group: list[Span] = []
    for span in spans:
        if group and re.search(r"[.!?]\s|\n", text[group[-1][1] : span[0]]):
            yield group
            group = []
        group.append(span)
    yield group


def merged(found: Iterable[ListCandidate]) -> dict[frozenset[str], list[ListCandidate]]:
    """Group those that name the same: a list that is repeated is likelier meant."""
    result: dict[frozenset[str], list[ListCandidate]] = {}
    for candidate in found:
        result.setdefault(candidate.key, []).append(candidate)
    return result
