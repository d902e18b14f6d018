"""The labels that a requirement lists, in the many ways in which people list them.

A list that is only a sample ("such as", "for example") is none, and neither is one that is not the
answer ("mails in German, French or Italian"): a wrong closed list would refuse every good row.
Try it: pytest distillation/tests/pipeline/understand/test_label_lists.py
"""

import itertools
import re
from collections.abc import Iterator, Sequence

from distillation.pipeline.understand.labels import is_label, label_key

MAX_LISTS = 20  # of one form are looked at: people list labels once

_NOUNS = (
    r"(?:labels?|categor(?:y|ies)|class(?:es)?|topics?|intents?|tags?|queues?|teams?|departments?|"
    r"groups?|types?|kinds?|options?|values|choices?|buckets?|genres?|priorit(?:y|ies)|levels?|"
    r"stages?|severit(?:y|ies)|sentiments?|emotions?|tones?|status(?:es)?|reasons?|codes?|moods?|"
    r"outcomes?|verdicts?|ratings?|areas?|desks?|folders?|sections?|subjects?|themes?|domains?|"
    r"stances?|risks?|difficult(?:y|ies)|skills?|acts?|urgenc(?:y|ies)|results?|answers?|kategorien?|klassen?|catégories?|"
    r"categorías?|categorie|etiquetas?|étiquettes?)"
)
# It begins with no space: else each space between parts could be read in two ways.
_PART = r"(?=\S)[^,.;:?!\n()|]{1,48}"
_AND = r"(?:or|and|ou|et|oder|und|o|y|e)"
_OR_LIST = rf"{_PART}(?:,\s*{_PART}){{0,30}},?\s+{_AND}\s+[^,.;:?!\n()|]{{1,200}}"
_COMMA_LIST = rf"{_PART}(?:,\s*{_PART}){{1,300}}"
_QUOTE = r"[\"'“”‘’`«»]"
_TRIGGERS = (
    r"(?:(?:answer\w*|reply|respond|label\w*|tag\w*|mark\w*|say|return\w*)(?: \w+){0,3}? with|"
    r"(?:route[ds]?|routing|assign\w*|sent|send|forward\w*|belongs?|goes|go|map\w*)"
    r"(?: \w+){0,4}? to|as|namely|either|is|be|whether|into|between|among|say|says|answers?|reply|"
    r"return|output|letters?)"
)

# `list` is what is taken apart. Announced: the words around say that labels follow.
_ANNOUNCED = (
    r"\bone of\b[^:.;\n]{0,60}:\s*(?P<list>[^.?!\n]+)",
    rf"\b{_NOUNS}\b[^:.;\n]{{0,40}}:\s*(?P<list>(?!\s*(?:is|are|do|does|can)\b)[^.?!\n]+)",
    rf"(?P<list>{_QUOTE}[\w][^\"“”`«»\n]{{0,40}}?{_QUOTE}"
    rf"(?:(?:\s*[,|/]\s*(?:or |and )?|\s+or\s+|\s+and\s+)"
    rf"{_QUOTE}\w[^\"“”`«»\n]{{0,40}}?{_QUOTE})+)",
    rf"\b{_NOUNS}\b\s*\((?P<list>[^()\n]+)\)",
    rf"\b{_NOUNS} (?:are|can be|may be|must be|being|namely|–|—)\s+(?:only\s+|either\s+)?"
    rf"(?P<list>{_OR_LIST})",
    rf"\bone of (?:(?:the|these|our|those|exactly)\s+)*(?:\w+\s+{_NOUNS}\s+|{_NOUNS}\s+)?"
    rf"(?P<list>{_COMMA_LIST})",
    r"\bone of (?P<list>[\w-]{2,30}(?:\s*[/|]\s*[\w-]{2,30})+)",
    rf"(?:^|[.!?:]\s+|\b(?:and|then|,)\s+)(?:answer|reply|output|say|return)\s+"
    rf"(?P<list>{_PART}(?:,\s*{_PART}){{0,30}},?\s+or\s+{_PART})",
    r"\((?P<list>\w[\w -]{1,30}(?:[/|]\s*\w[\w -]{1,30})+)\)",
)
_IN_PASSING = (
    r"\b(?P<list>[\w-]+(?:, [\w-]+)*,? or [\w-]+)\?",
    rf"\b{_TRIGGERS}:?\s+(?P<list>{_OR_LIST})(?=[.,;:!\n()|]|$)",
    rf"\b{_TRIGGERS}:?\s+(?P<list>[A-Za-z]{{2,}}(?:\s?[/|]\s?[A-Za-z]{{2,}})+)",
    r"\((?P<list>\w[\w -]{0,30}(?:,\s*\w[\w -]{0,30})+)\)",
    rf":\s*(?P<list>(?!\s*(?:is|are|do|does|can)\b){_OR_LIST})(?=[.,;:!\n()|]|$)",
)


def _compiled(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


_ANNOUNCED_LISTS, _LISTS_IN_PASSING = _compiled(_ANNOUNCED), _compiled(_IN_PASSING)

_SAMPLE = re.compile(
    r"\bsuch as\b|\be\.?g\b|\bfor (?:example|instance)\b|\blike\b|\bincluding\b|\bincludes?\b"
    r"|\betc\b|\band so on\b|…|\.\.\.|\bamong others\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(r"\b(?:never|not|no|don't|do not|avoid|without|if|when)\b[^.;:\n]*$", re.I)
_DECIDE_IF = re.compile(
    r"\b(?:tell|say|decide|check|determine|judge|predict|see|find out|know)\b(?: \w+){0,3}? if\b",
    re.I,
)
_GOES_ON = re.compile(
    r"\s+(?:for|in|from|based|depending|so|that|when|if|nothing|only|with|to|on|per|by|about|as|of|"
    r"and nothing|after|before|according|using)\b.*",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^(?:(?:label|tag|mark|assign|classify|answer|sort|route|choose|use|pick)\b.*?"
    r"\b(?:with|as|to|into|from|of)\s+)?(?:.*\b(?:is|are|be)\s+)?"
    r"(?:(?:and|or|either|exactly|the|a|an|only|just|one of)\s+)*",
    re.IGNORECASE,
)
_NOT_A_NAME = re.compile(
    r"^(?:in|of|to|for|from|with|on|at|by|one|two|three|it|you|we|they|this|that|these|those|more|"
    r"less|if|when|what|which|who|how|fewer|each|every|all|any|anything|nothing)\b"
    r"|\b(?:is|are|must|should|never|always|please|we|you|they)\b"
    r"|\b(?:answer|return|write|reply|use)\s+\w+\s",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*(?:[-*•–·]|\d{1,3}[.)])\s+(?P<item>.+?)\s*$")
_INTRODUCES = re.compile(
    rf"(?:\b{_NOUNS}\b|\bone of\b|\bfollowing\b|\bthese\b)[^\n]*:\s*$", re.IGNORECASE
)
_REMARK = re.compile(r"\s*(?::\s|\s[–—-]\s|\s=\s|\s→\s|\s->\s|\().*$")

_NUMBER_WORDS = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|"
    "seventeen|eighteen|nineteen|twenty"
)
_NUMBERS = {word: number for number, word in enumerate(_NUMBER_WORDS.split("|"), 2)}
_NUMBER = rf"(?P<number>\d{{1,4}}|{_NUMBER_WORDS})"
_COUNTED = (
    re.compile(rf"\bone of (?:(?:our|the|these|those|its|about)\s+)*{_NUMBER}\s+[a-z]", re.I),
    re.compile(
        rf"(?<!never )(?<!than )(?<!not )\b{_NUMBER}\s+(?:(?!and\b|or\b)[\w-]+\s+){{0,2}}?"
        rf"{_NOUNS}(?<=s)\b",
        re.IGNORECASE,
    ),
    re.compile(rf"\b{_NUMBER}[- ](?:way|class)\b", re.IGNORECASE),
)


def label_lists(text: str) -> Iterator[tuple[str, ...]]:
    """Every list that could be one of labels, the likeliest first."""
    yield from announced_labels(text)
    yield from _inline_lists(text, _LISTS_IN_PASSING)


def announced_labels(text: str) -> Iterator[tuple[str, ...]]:
    """Return the lists that words announce as labels, or that stand one label a line."""
    yield from _line_lists(text)
    yield from _inline_lists(text, _ANNOUNCED_LISTS)


def _inline_lists(text: str, patterns: Sequence[re.Pattern[str]]) -> Iterator[tuple[str, ...]]:
    plain = re.sub(r"\s*\([^()]*\)", "", text)  # remarks on single labels stand in brackets
    for pattern, read in itertools.product(patterns, dict.fromkeys([text, plain])):
        for match in itertools.islice(_overlapping(pattern, read), MAX_LISTS):
            if _is_the_whole_list(read, match) and (
                names := _names(match["list"], to_the_end=":" in match.group())
            ):
                yield names


def _overlapping(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Also matches inside of others: "whether it is a or b" is read at "whether" and at "is"."""
    match = pattern.search(text)
    while match:
        yield match
        match = pattern.search(text, match.start() + 1)


def counted_labels(text: str) -> int:
    """How many labels a requirement speaks of ("one of our 77 topics"); 0 when it does not say."""
    for pattern in _COUNTED:
        if match := pattern.search(text):
            number = match["number"].lower()
            count = _NUMBERS.get(number) or int(number)
            return count if count > 1 else 0
    return 0


def _is_the_whole_list(text: str, match: re.Match[str]) -> bool:
    start = max(text.rfind(mark, 0, match.start()) for mark in ".\n;") + 1
    before = _DECIDE_IF.sub("", text[start : match.start("list")])
    sample = _SAMPLE.search(text, max(start, match.start() - len("for example, ")), match.end())
    if sample or _REFUSAL.search(before):
        return False
    return not re.match(r"\s*(?:,?\s*etc\b|…|\.\.\.)", text[match.end() :], re.IGNORECASE)


def _names(text: str, to_the_end: bool) -> tuple[str, ...]:
    """Return the parts of an inline list, when each of them can be a label. `to_the_end`: nothing
    but the list stands in its sentence, so that its last part is a whole name.
    """
    bare = re.sub(r"\([^)]*\)", "", text)
    quoted = re.findall(rf"{_QUOTE}([\w][^\"“”`«»\n]*?){_QUOTE}(?=\W|$)", bare)
    parts = quoted if len(quoted) >= 2 else _parts(bare)
    names = [_LEAD.sub("", part.strip(" \t\"'“”‘’`«»*")) for part in parts]
    names = _evened([name for name in names if name], to_the_end)
    names = list({label_key(name): name for name in reversed(names)}.values())[::-1]
    if len(names) < 2 or not all(_is_name(name) for name in names):
        return ()
    words = sorted(len(name.split()) for name in names)
    if words[-1] > 3 and words[len(words) // 2] == 1:
        return ()  # labels are alike: what is much longer is the rest of a sentence
    return tuple(names)


def _parts(text: str) -> list[str]:
    """Split at the strongest mark there is; "and" belongs to a label but in the last place."""
    for mark in (r";|\|", ",", r"/"):
        parts = [part.strip() for part in re.split(mark, text) if part.strip()]
        if len(parts) != 1:
            break
    if not parts:
        return []
    # "a, b or c, taken from the text": the list ends at its "or".
    ends = [n for n, part in enumerate(parts, 1) if re.search(r"(?:^|\s)or\s", part, re.IGNORECASE)]
    parts = parts[: ends[0]] if ends else parts
    last = [re.sub(rf"^{_AND}\s+", "", parts[-1], flags=re.IGNORECASE)]
    if last[0] == parts[-1]:
        last = re.split(rf"\s+{_AND}\s+", parts[-1], flags=re.IGNORECASE)
    return [*parts[:-1], *last]


def _evened(names: list[str], to_the_end: bool) -> list[str]:
    """Cut the rest of its sentence off the last name: "positive or neutral for each review"."""
    if len(names) < 2:
        return names
    *others, last = names
    longest = max(len(name.split()) for name in others)
    if len(last.split()) > longest:
        words = _GOES_ON.sub("", last).split()
        end = longest
        while end < len(words) and (to_the_end or not words[end].islower()):
            end += 1
        last = " ".join(words[:end])
    return [*others, last]


def _is_name(name: str) -> bool:
    return is_label(name) and _NOT_A_NAME.search(name) is None


def _line_lists(text: str) -> Iterator[tuple[str, ...]]:
    """One label a line, with or without bullets, after a line that announces them."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if not _INTRODUCES.search(line) or _SAMPLE.search(line):
            continue
        names = []
        for item in _block_after(lines, number):
            bullet = _BULLET.match(item)
            names.append(_REMARK.sub("", bullet["item"] if bullet else item).strip(" \t\"'“”`*,;."))
        if len(names) >= 2 and all(_is_name(name) for name in names):
            yield tuple(dict.fromkeys(names))


def _block_after(lines: list[str], number: int) -> list[str]:
    rest = lines[number + 1 :]
    while rest and not rest[0].strip():
        rest = rest[1:]
    end = next((n for n, line in enumerate(rest) if not line.strip()), len(rest))
    block = rest[:end]
    if block and _BULLET.match(block[0]):
        block = block[: next((n for n, line in enumerate(block) if not _BULLET.match(line)), end)]
    return block


# "topics, such as card_arrival or exchange_rate": names that nobody writes but for a label.
_SHOWN = re.compile(
    r"\b(?:such as|like|e\.?g\.?,?|for (?:example|instance),?)\s+"
    r"((?:[a-z0-9]+(?:_[a-z0-9]+)+)(?:(?:\s*,\s*|\s+or\s+|\s+and\s+|\s*,\s*or\s+)"
    r"[a-z0-9]+(?:_[a-z0-9]+)+){0,20})"
)


def identifiers_shown(text: str) -> tuple[str, ...]:
    """Labels that a sentence gives as a sample, where they are spelled as identifiers."""
    result = [name for match in _SHOWN.finditer(text) for name in re.findall(r"\w+_\w+", match[1])]
    return tuple(dict.fromkeys(result))
