"""Criteria read out of plain sentences, by rules that would rather not read than misread.

A sentence is a subject (what is measured), one bound and one number. What is left over must not
turn the meaning round: a negation that no rule accounts for leaves the sentence unread.
"""

import re
from collections.abc import Sequence

from training.scoring.criterion import BEATS_BASE, LATENCY, LENGTH, LENGTH_RATIO, SIZE, Criterion
from training.scoring.metrics import METRICS, Options

FINAL_NUMBER_LINE = r"####\s*-?[\d,.]*\d[\d,.]*\s*$"

NAMES = {  # exact_match, as it stands in a form
    name: re.compile(rf"\b{re.escape(name.lower()).replace('_', '[ _-]')}\b")
    for name in sorted(METRICS)
    if "_" in name and not METRICS[name].option
}
NEGATIVE = r"wrong|errors?|invalid|incorrect|unknown|invented|broken|malformed"
NEGATIVE_NOUN = re.compile(rf"\b({NEGATIVE})\b")
NEGATED = re.compile(r"\b(false|never|no|not|fails?|without|nor|none|cannot|n't)\b")
NOT_MEASURED = re.compile(
    r"\baverage\b|\bmean\b|per second|\bp\d\d\b|percentile|memory|\bram\b|throughput"
)
AGAINST_BASE = re.compile(
    r"\b(than|over|beats?|above|outperforms?)\b[^.]{0,30}\b(base|untuned|original)\b"
)
UNREADABLE_AGAINST_BASE = re.compile(r"\b(worse|lower|less|not|never|no|as good)\b")
EVERY = re.compile(r"\b(always|only|(every|each|all( the)?) (answer|repl|respons|output)\w*)\b")
NONE_AT_ALL = re.compile(r"\b(never|no|zero)\b")
PER_LABEL = re.compile(
    r"(per|each|every|any|all)[- ](the )?(single )?(class|label|topic|categor|intent)"
)

# Bounds in the order in which they are looked for: "no more than" before "more than".
BOUNDS = {
    ">=": r"at least|(?:no|not) (?:less|fewer|lower|worse|shorter|smaller) than"
    r"|(?:not|never) (?:(?:drop|fall)s? )?(?:below|under)|minimum(?: of)?|≥|>="
    r"|or (?:more|better|higher|above)|reach(?:es)?",
    "<=": r"at most|(?:no|not|never) (?:more|higher|longer|larger|bigger|slower|greater) than"
    r"|(?:not|never) (?:exceeds?|above|over)|up to|max(?:imum)?(?: of)?|≤|<="
    r"|or (?:less|fewer|lower|shorter|smaller|faster|below|under)|within",
    ">": r"more than|above|over\b|exceed(?:s|ing)?|better than|higher than|longer than|>",
    "<": r"less than|fewer than|lower than|smaller than|shorter than|faster than|under\b|below|<",
}
ANY_BOUND = re.compile("|".join(f"({pattern})" for pattern in BOUNDS.values()))
FLIPPED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}
NUMBER = re.compile(r"(?<![\w.-])(\d+(?:\.\d+)?)\s*(%|percent|per cent|points)?(?![\w-])")
STATED = re.compile(r"(?:\bof|:|=)\s*\d|^\d+(?:\.\d+)?\s*(?:%|percent)")  # "accuracy: 90 %"
SCALED = re.compile(r"\d\s*(?:$|[,;)(]|(?:on|in|against|for|over)\b)")  # 80 of 100, not 80 rows
WORDS_TO_TEN = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
WORD_NUMBERS = {word: number for number, word in enumerate(WORDS_TO_TEN, 1)}
OUT_OF = re.compile(r"\b(\d+|[a-z]+) (?:out of|in|of) (?:every )?(\d+|ten)\b(?!\s*%)")
SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?)\b")
BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(kb|mb|gb|megabytes?|gigabytes?)\b")
MB_OF = {"k": 0.001, "m": 1.0, "g": 1000.0}
LENGTH_BOUND = re.compile(r"(\d+) (words?|characters?|letters|tokens?)\b")
TIMES = re.compile(r"\b(twice|double|(\d+(?:\.\d+)?) times) (?:that of |as long as )?(the|its) ref")
PATTERN = re.compile(r"\b(?:pattern|regex|regular expression)\s*[`'\"“](.+?)[`'\"”](?=\s|$|[.,])")
QUOTED = re.compile(r"[`'\"“‘]([^`'\"”’]{1,60})[`'\"”’]")


def compile_sentence(sentence: str, labels: Sequence[str] = ()) -> Criterion | None:
    """Return the check that a sentence states, or None.

    A doubtful sentence is left unread rather than misread. `labels` lets a sentence name one.
    """
    text = " ".join(sentence.lower().split()).rstrip(".!")
    if AGAINST_BASE.search(text):
        return _against_base(text, sentence)
    if NOT_MEASURED.search(text):
        return None
    readers = (_pattern, _one_label, _each_label, _length, _latency, _size, _share_of_answer)
    try:  # the first one whose subject the sentence has, decides
        found = (reader(text, sentence, labels) for reader in (*readers, _quality))
        return next(filter(None, found), None)
    except _Unread:
        return None


class _Unread(Exception):
    """The subject is known, and the rest of the sentence is doubtful."""


def _against_base(text: str, sentence: str) -> Criterion | None:
    """Leave "by how much" unread: no check has it."""
    if NUMBER.search(text) or UNREADABLE_AGAINST_BASE.search(text):
        return None
    return Criterion(BEATS_BASE, ">", 0.0, of=_metric_named(text), sentence=sentence)


# --- quality ------------------------------------------------------------------------------------


def _quality(text: str, sentence: str, _: Sequence[str]) -> Criterion | None:
    """Read a metric's score; "at most 5 % are wrong" as "at least 95 % are right"."""
    metric = _metric_named(text)
    if metric is None:
        return None
    if metric == "known_label":  # "one of the values" reads as a bound of nothing
        text = re.sub(r"\bone of the\b", " ", text)
    less_is_better = METRICS[metric].less_is_better
    negative = less_is_better or NEGATIVE_NOUN.search(text) is not None
    op, value = _share(text, negative)
    if negative != (op in ("<", "<=")):
        return None
    if negative and not less_is_better:
        op, value = FLIPPED[op], round(1 - value, 6)
    options: Options = {"pattern": FINAL_NUMBER_LINE} if metric == "regex" else {}
    return Criterion(metric, op, value, options=options, sentence=sentence)


def _metric_named(text: str) -> str | None:
    for name, pattern in NAMES.items():
        if pattern.search(text):
            return name
    patterns = {name: metric.pattern for name, metric in METRICS.items() if metric.pattern}
    return next((name for name, pattern in patterns.items() if re.search(pattern, text)), None)


def _share(text: str, negative: bool = False) -> tuple[str, float]:
    """(op, value in [0, 1]) of a sentence with exactly one number and one bound, or with none and
    a word such as "always".
    """
    text, fractions = _fractions(re.sub(r"\bf1\b|\bs?f1\b", " ", text))
    op, rest = _bound(text)
    numbers = NUMBER.findall(rest)
    if not numbers and op is None and not fractions:
        return _absolute(rest, negative)
    if NEGATED.search(rest) or len(numbers) + len(fractions) != 1:
        raise _Unread
    if fractions:
        return op or ("<=" if negative else ">="), fractions[0]
    if op is None and STATED.search(rest) and not negative:
        op = ">="
    (number, unit), is_scaled = numbers[0], not negative and SCALED.search(rest)
    value = float(number)
    if unit or (value > 1 and is_scaled):
        value /= 100
    if op is None or value > 1:
        raise _Unread
    return op, value


def _absolute(rest: str, negative: bool) -> tuple[str, float]:
    """Read "Always valid JSON" or "Never an unknown label": no answer may differ."""
    if negative and len(NEGATED.findall(rest)) <= 1 and NONE_AT_ALL.search(rest):
        return "<=", 0.0
    if not negative and EVERY.search(rest) and not NEGATED.search(rest):
        return ">=", 1.0
    raise _Unread


def _fractions(text: str) -> tuple[str, list[float]]:
    """Return the text without "nine out of ten", and what that is as a share."""
    for match in OUT_OF.finditer(text):
        words = [WORD_NUMBERS.get(word, word) for word in match.groups()]
        part, whole = (int(word) if str(word).isdigit() else 0 for word in words)
        if 0 < part <= whole and whole in (10, 20, 100, 1000):
            return text.replace(match.group(), " "), [part / whole]
    return text, []


def _bound(text: str) -> tuple[str | None, str]:
    """Return the one bound of a sentence, and the rest of it. Unread when there are several."""
    ops = {_op_of(match) for match in ANY_BOUND.finditer(text)}
    if len(ops) > 1:
        raise _Unread
    return (ops.pop() if ops else None), ANY_BOUND.sub(" ", text)


def _op_of(bound: re.Match[str]) -> str:
    return tuple(BOUNDS)[(bound.lastindex or 1) - 1]  # the group that matched: one for each


# --- labels, patterns, one answer ---------------------------------------------------------------


def _each_label(text: str, sentence: str, _: Sequence[str]) -> Criterion | None:
    if not PER_LABEL.search(text):
        return None
    rest = PER_LABEL.sub(" ", text)
    name = "least_recall" if "recall" in rest else "least_f1" if "f1" in rest else None
    if name is None:
        raise _Unread
    return _rate(name, rest, sentence, {})


def _one_label(text: str, sentence: str, labels: Sequence[str]) -> Criterion | None:
    kind = re.search(r"\b(recall|precision)\b", text)
    label = _label_named(text, labels)
    if kind is None or label is None or "macro" in text:
        return None
    rest = text.replace(label.lower(), " ")
    return _rate(f"label_{kind.group()}", rest, sentence, {"label": label})


def _label_named(text: str, labels: Sequence[str]) -> str | None:
    """Return the one label that is named; a short one only in quotes, for "no" is a word too."""
    quoted = {name.lower() for name in QUOTED.findall(text)}
    named = [
        label
        for label in labels
        if label.lower() in quoted
        or (len(label) > 3 and re.search(rf"(?<!\w){re.escape(label.lower())}(?!\w)", text))
    ]
    return named[0] if len(named) == 1 else None


def _pattern(text: str, sentence: str, _: Sequence[str]) -> Criterion | None:
    match = PATTERN.search(sentence)
    if match is None:
        return None
    try:
        re.compile(match.group(1))
    except re.error as error:
        raise _Unread from error
    rest = text.replace(match.group().lower(), " ")
    return _rate("regex", rest, sentence, {"pattern": match.group(1)})


def _share_of_answer(text: str, sentence: str, _: Sequence[str]) -> Criterion | None:
    """Read "The answer is 'unknown' in at most 10 % of the rows"."""
    match = re.search(rf"\banswers?(?: is| are| with)? {QUOTED.pattern}", text)
    if match is None:
        return None
    op, value = _share(text.replace(match.group(), " "))
    return Criterion("answer_share", op, value, options={"answer": match[1]}, sentence=sentence)


def _rate(name: str, text: str, sentence: str, options: Options) -> Criterion:
    op, value = _share(text)
    if op not in (">=", ">") or NEGATIVE_NOUN.search(text):
        raise _Unread
    return Criterion(name, op, value, options=options, sentence=sentence)


# --- quantities ---------------------------------------------------------------------------------


LESS, ANY = ("<", "<="), tuple(FLIPPED)


def _latency(text: str, sentence: str, _: Sequence[str]) -> Criterion | None:
    """Read a bound on the median; one on every single answer stays unread."""
    match = SECONDS.search(text)
    if match is None:
        return None
    if EVERY.search(text):
        raise _Unread
    scale = 0.001 if match.group(2).startswith("m") else 1.0
    return _quantity(LATENCY, text, match, float(match[1]) * scale, sentence)


def _size(text: str, sentence: str, _: Sequence[str]) -> Criterion | None:
    match = BYTES.search(text)
    return match and _quantity(SIZE, text, match, float(match[1]) * MB_OF[match[2][0]], sentence)


def _length(text: str, sentence: str, _: Sequence[str]) -> Criterion | None:
    if "length" in text and (times := TIMES.search(text)):
        if "median" not in text:
            raise _Unread
        return _quantity(LENGTH_RATIO, text, times, float(times[2] or 2), sentence, unit="times")
    match = LENGTH_BOUND.search(text)
    if match is None:
        if "length" in text:
            raise _Unread
        return None
    unit = {"w": "words", "t": "tokens"}.get(match.group(2)[0], "characters")
    if re.search(r"\bmedian\b|\btypical", text):
        return _quantity(LENGTH, text, match, float(match[1]), sentence, unit=unit, ops=ANY)
    return _each_within(text, match, unit, sentence)


def _quantity(
    name: str,
    text: str,
    match: re.Match[str],
    value: float,
    sentence: str,
    *,
    unit: str = "",
    ops: Sequence[str] = LESS,
) -> Criterion:
    op, rest = _bound(text.replace(match.group(), " "))
    if op not in ops or NEGATED.search(rest) or NUMBER.search(rest):
        raise _Unread
    options: Options = {"unit": unit} if unit else {}
    return Criterion(name, str(op), value, options=options, sentence=sentence)


def _each_within(text: str, match: re.Match[str], unit: str, sentence: str) -> Criterion:
    """Read a bound on answers one by one: on the stated share of them, or on all."""
    before = list(ANY_BOUND.finditer(text, 0, match.start()))
    if unit == "tokens" or not before:
        raise _Unread
    nearest = before[-1]
    op = _op_of(nearest)
    rest = f"{text[: nearest.start()]} {text[match.end() :]}"
    limit = int(match[1])
    if re.search(r"\b(no|never an?) (answer|repl|respons)\w*", rest) and op == ">":
        rest, op = re.sub(r"\b(no|never an?)\b", " ", rest), "<="
    least = op in (">", ">=")
    limit += {">": 1, "<": -1}.get(op, 0)
    share_op, share = _share(rest) if NUMBER.search(rest) else (">=", 1.0)
    if share_op not in (">", ">=") or NEGATED.search(rest) or limit < 1:
        raise _Unread
    options: Options = {"least": limit} if least else {"most": limit}
    options["unit"] = unit
    return Criterion("length_within", share_op, share, options=options, sentence=sentence)
