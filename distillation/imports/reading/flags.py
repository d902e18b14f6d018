"""What a row is remarked for: it is taken all the same, and a person decides.

    flags_of(messages, "CC-BY-NC-4.0")  # {"non_commercial_license"}

Others come from reading the row: see `text.clean`, `shapes.to_conversation` and `ids`.
"""

import re
from collections.abc import Callable, Sequence

from distillation.imports.reading.markup import contains_markup, is_about_markup, strip_markup
from distillation.imports.reading.personal_data import personal_data, redact
from distillation.imports.reading.text import Message, clean
from distillation.pipeline.licenses import is_non_commercial, is_unknown

NOTHING_SAID = frozenset(("n/a", "#n/a", "na", "nil", "tbd", "todo"))
# As a question these say nothing; as an answer each may be a label.
EMPTY_REQUEST = NOTHING_SAID | {"none", "null", "nan", "undefined", "unknown", "test", "asdf"}
REFUSAL = re.compile(
    r"\b(?:as an? (?:ai|artificial|large)\b|i(?:'m| am) (?:sorry|unable)\b"
    r"|i can(?:not|'t) (?:help|assist|answer|see|do that)\b|please (?:provide|share|paste)\b)",
    re.IGNORECASE,
)
FEW_WORDS = 3
MERE_MARKS = " ?.!-–—…_"

# UTF-8 read as cp1252: a lead byte's character and then the right number of followers.
GARBLED = re.compile(
    r"[\xc2\xc3][\x80-\xbf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    r"\u2013-\u2122]"
    r"|\xe2[\x80\u20ac][^\x00-\x7f]|\xf0\u0178[^\x00-\x7f]{1,2}|\xef\xbf\xbd"
    r"|(?:[\xd0\xd1][^\x00-\x7f\u0400-\u04ff]){3,}"
)


def flags_of(messages: Sequence[Message], license_name: str) -> set[str]:
    flags = {name for name, is_so in CHECKS.items() if is_so(messages)}
    flags |= {f"personal_data:{kind}" for kind in kinds_of_personal_data(messages)}
    if is_unknown(license_name):
        flags.add("license_unknown")
    if is_non_commercial(license_name):
        flags.add("non_commercial_license")
    return flags


def tidied(
    messages: Sequence[Message], *, clean_markup: bool, redact_personal_data: bool
) -> tuple[list[Message], set[str]]:
    """Return the messages, cleaned as requested, and flags that say what was done."""
    flags: set[str] = set()
    tidy = [dict(message) for message in messages]
    if clean_markup and has_markup(messages):
        flags.add("markup_removed")
        tidy = [m | {"content": clean(strip_markup(m["content"]))[0]} for m in tidy]
    if redact_personal_data and (kinds := kinds_of_personal_data(tidy)):
        flags |= {f"personal_data_removed:{kind}" for kind in kinds}
        tidy = [m | {"content": redact(m["content"])} for m in tidy]
    return tidy, flags


def has_markup(messages: Sequence[Message]) -> bool:
    result = any(contains_markup(message["content"]) for message in messages)
    return result and not is_about_markup(messages)


def kinds_of_personal_data(messages: Sequence[Message]) -> set[str]:
    return set().union(*(personal_data(message["content"]) for message in messages))


def is_low_content(messages: Sequence[Message]) -> bool:
    """No question, no answer, or a refusal because the input was forgotten."""
    questions = [m["content"] for m in messages if m["role"] == "user"]
    question, answer = questions[-1].strip(), messages[-1]["content"].strip()
    if says_nothing(question, EMPTY_REQUEST) or says_nothing(answer, NOTHING_SAID):
        return True
    incomplete = question.endswith(":") or len(question.split()) <= FEW_WORDS
    return incomplete and len(questions) == 1 and REFUSAL.search(answer[:200]) is not None


def says_nothing(text: str, placeholders: frozenset[str]) -> bool:
    return text.casefold() in placeholders or not text.strip(MERE_MARKS)


def is_garbled(messages: Sequence[Message]) -> bool:
    """Characters that UTF-8 shows when it was read as cp1252, such as "cafÃ©" for "café"."""
    texts = [m["content"] for m in messages if not m["content"].isascii()]
    return any(_decodes(match, text) for text in texts for match in GARBLED.finditer(text))


def _decodes(match: re.Match[str], text: str) -> bool:
    """Take a capital before and a closing quote after for a word in capitals: «MANHÃ»."""
    before = text[match.start() - 1 : match.start()]
    if before.isupper() and match[0][1:] in "»”’":
        return False
    try:
        return len(as_bytes(match[0]).decode("utf-8")) < len(match[0])
    except (UnicodeDecodeError, UnicodeEncodeError):
        return False


def as_bytes(text: str) -> bytes:
    """cp1252, and what it leaves undefined as in latin-1, as browsers do it."""
    return b"".join(char.encode("cp1252", "ignore") or char.encode("latin-1") for char in text)


CHECKS: dict[str, Callable[[Sequence[Message]], bool]] = {
    "contains_markup": has_markup,
    "low_content": is_low_content,
    "mojibake": is_garbled,
}
