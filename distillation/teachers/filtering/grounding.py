"""Whether what an answer says stands in its input: numbers in digits or words, dates in any usual
spelling, words in any of their forms. No Django inside."""

import re
from functools import lru_cache

from distillation.pipeline.text import normalise, words


def _listed(words: str) -> list[str]:
    return words.split()


_UNITS = _listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS = _listed("twenty thirty forty fifty sixty seventy eighty ninety")
_TIMES = {"hundred": 100, "thousand": 1000, "dozen": 12, "score": 20, "gross": 144}
_WORDS = (
    {word: n for n, word in enumerate(_UNITS)}
    | {word: 10 * n for n, word in enumerate(_TENS, 2)}
    | {"single": 1, "both": 2, "pair": 2, "couple": 2}
)
_ORDINALS = _listed(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_WORDS |= {word: n for n, word in enumerate(_ORDINALS, 1)} | {"thirtieth": 30}
_MONTHS = {
    month: number
    for names in (
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "jän feb mär apr mai jun jul aug sep okt nov dez",
        "janv févr mars avr mai juin juil août sept oct nov déc",
        "ene feb mar abr may jun jul ago sep oct nov dic",
        "gen feb mar apr mag giu lug ago set ott nov dic",
    )
    for number, month in enumerate(names.split(), 1)
}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b", re.IGNORECASE)
# Words that answers add without saying anything new.
_PLAIN = set(
    _listed(
        "the a an of to in on at for from with by and or but if is are was were be been do does "
        "did has have had can could may might must shall should will would what which who whom "
        "whose when where why how it its this that these those there i me my we us our you your "
        "he she they them their his her him not no as than then so too also any some all about "
        "into over under out up"
    )
)
STEM = 4  # letters that two forms of one word share


def numbers_in(text: str) -> list[str]:
    return _NUMBER.findall(text)


@lru_cache(maxsize=4096)
def _numbers_said(text: str) -> frozenset[str]:
    """Return the numbers of a text, those in words too ("twenty-five" and "two dozen")."""
    result: set[int] = set()
    total: int | None = None  # of the words so far that make one number
    is_half = False
    for word in re.findall(r"\d+(?:[.,]\d+)*|[^\W\d_]+", _ORDINAL.sub("", text.casefold())):
        value = _value_of(word)
        if word in _TIMES:
            total = 6 if is_half and word == "dozen" else _times(total or 1, _TIMES[word])
        elif value is None:
            total = total if word == "and" else None
            is_half = word == "half" or (is_half and word in ("a", "an"))
        elif total and not word[0].isdigit() and (total % 100 == 0 or value < 10 > total % 10 == 0):
            total += value
        else:
            total = value
        result |= {n for n in (value, total) if n is not None}
    said = {_bare(number) for number in _NUMBER.findall(text)}
    return frozenset(said | {str(n) for n in result})


def _times(total: int, factor: int) -> int:
    """Only what follows the thousands is multiplied: one thousand five hundred."""
    low = total % 1000 if factor < 1000 and total % 1000 else total
    return total - low + low * factor


def _value_of(word: str) -> int | None:
    if word.isdigit() and len(word) < 10:
        return int(word)
    return _WORDS.get(word)


def _bare(number: str) -> str:
    plain = number.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+", number) else number
    return plain.lstrip("0") or "0"


def number_is_in(number: str, text: str) -> bool:
    plain = number[:-2] if number.endswith(".0") else number
    return _bare(plain.lstrip("-")) in _numbers_said(text)


def date_is_in(date: str, text: str) -> bool:
    """Whether the day and the month of an ISO date stand in the text, the month by name or number.

    A text with a relative day ("tomorrow", "next Friday") decides nothing: it holds.
    """
    try:
        _, month, day = (int(part) for part in date.split("-"))
    except ValueError:
        return False
    said = _numbers_said(text) | {_bare(digits) for digits in re.findall(r"\d+", text)}
    named = {_MONTHS[w[:n]] for w in words(text) for n in (3, 4, 5) if w[:n] in _MONTHS}
    if not named and not any(str(n) in said for n in range(1, 32)):
        return bool(re.search(r"\b(?:to(?:day|morrow)|week|month|\w+day)\b", text, re.I))
    is_month = month in named if named else str(month) in said
    return is_month and (str(day) in said or "end of" in text.casefold())


def stands_in(value: str, text: str) -> bool:
    return normalise(value) in normalise(text)


def shape_of(text: str) -> str:
    """Return the classes of its letters, runs shortened: “AB-1234” is “A-9”."""
    classes = re.sub(r"[A-Z]+", "A", re.sub(r"[a-z]+", "a", text))
    return re.sub(r"\d+", "9", re.sub(r"[^\x00-\x7f]+", "a", classes))


def strange_words(given: str, output: str) -> list[str]:
    """Return the words of the answer, plain ones apart, of which the input has no form."""
    said = {word[:STEM] for word in words(given)}
    return [
        word
        for word in words(output)
        if word not in _PLAIN and len(word) > 2 and word[:STEM] not in said and not word.isdigit()
    ]
