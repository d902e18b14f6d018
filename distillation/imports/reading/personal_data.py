"""Personal data and secrets in text, by kind: detected, and replaced by the kind on request.

Patterns find what has a form of its own, and checksums keep ordinary numbers out. Names without a
"my name is" before them have none: they stay.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

_KEYS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",  # AWS, and its 40 characters of secret:
    r"(?<![\w/+=.-])(?=[\w/+]*[a-z])(?=[\w/+]*[A-Z])(?=[\w/+]*\d)[A-Za-z0-9/+]{40}(?![\w/+=])",
    r"\bgh[opsur]_\w{36,}|\bgithub_pat_\w{22,}",
    r"\bsk-[\w-]{20,}|\bxox[abprs]-[\w-]{10,}|\bAIza[\w-]{35}|\bhf_[A-Za-z0-9]{30,}",
    r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+",  # a JSON web token
)
_STREETS = "Street|Road|Avenue|Lane|Drive|Boulevard|Square|Court|Terrace|Crescent"


def passes_luhn(result: str) -> bool:
    digits = [int(char) for char in result if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(digits) in (14, 15, 16, 19) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def passes_iban(result: str) -> bool:
    compact = result.replace(" ", "")
    moved = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


LONG_WORD, DIGIT, AT_SIGN = re.compile(r"\S{20}|PRIVATE KEY"), re.compile(r"\d"), re.compile("@")
INTRODUCTION = re.compile("name is|I['’]m|I am|heiße|appelle|llamo")
CLUES = (LONG_WORD, DIGIT, AT_SIGN, INTRODUCTION)


@dataclass(frozen=True)
class Kind:
    """What `pattern` finds as its group `it`, looked for in texts that hold the `hint`."""

    name: str
    hint: re.Pattern[str]
    pattern: str
    is_real: Callable[[str], bool] = bool


# In this order: what one kind has taken, the next does not see.
KINDS = (
    Kind("key", LONG_WORD, rf"(?s)(?P<it>{'|'.join(_KEYS)})"),
    Kind("email", AT_SIGN, r"(?P<it>\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63})+)"),
    Kind(
        "iban",
        DIGIT,
        r"\b(?P<it>[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)\b",
        passes_iban,
    ),
    Kind("card", DIGIT, r"(?<![\w.,/=-])(?P<it>[3-6](?:[ -]?\d){13,18})(?![\w-])", passes_luhn),
    Kind("card", DIGIT, r"(?i)\b(?:cvv|cvc)2?\b\W{0,3}(?P<it>\d{3,4})\b"),
    Kind("ssn", DIGIT, r"(?<![\w-])(?P<it>\d{3}-\d{2}-\d{4})(?![\w-])"),
    Kind(
        "phone",
        DIGIT,
        r"(?<![\w+])(?P<it>\+[1-9]\d{0,2}(?:[ ./-]{0,2}(?:\(0\))?\d){6,12})\b(?![-/=])",
    ),
    Kind("phone", DIGIT, r"(?<![\w.-])(?P<it>(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4})(?![\w-])"),
    Kind(
        "birth_date",
        DIGIT,
        r"(?i)\b(?:born|dob|date of birth|birthday|geboren)\b\W{0,3}(?:is|on|am)?\W{0,3}"
        r"(?P<it>\d{1,4}[-./]\d{1,2}[-./]\d{1,4})\b",
    ),
    Kind("address", DIGIT, rf"\b(?P<it>\d{{1,5}}[A-Z]? (?:[A-Z][\w'.]* ){{1,3}}(?:{_STREETS}))\b"),
    Kind(
        "name",
        INTRODUCTION,
        r"\b(?:[Mm]y name is|I['’]m|I am|[Ii]ch heiße|[Jj]e m['’]appelle|[Mm]e llamo) "
        r"(?P<it>[A-Z][a-z]+ [A-Z][a-z]+)\b",
    ),
)


def personal_data(text: str) -> set[str]:
    """Return the kinds in it: email, phone, iban, card, key, ssn, birth_date, address, name."""
    return _replaced(text)[1]


def redact(text: str) -> str:
    """Return the text with `[email]`, `[card]` … in place of personal data."""
    return _replaced(text)[0]


def _replaced(text: str) -> tuple[str, set[str]]:
    result: set[str] = set()
    clues = {hint for hint in CLUES if hint.search(text)}  # most texts need no pattern at all
    for kind in KINDS:
        if kind.hint in clues:
            text = re.sub(kind.pattern, partial(_replacement, kind, result), text)
    return text, result


def _replacement(kind: Kind, result: set[str], match: re.Match[str]) -> str:
    if not kind.is_real(match["it"]):
        return match[0]
    result.add(kind.name)
    start, end = (edge - match.start() for edge in match.span("it"))
    return f"{match[0][:start]}[{kind.name}]{match[0][end:]}"
