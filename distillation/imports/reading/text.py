"""Text as it can be stored: repaired where Postgres or a terminal would choke on it."""

import re
import unicodedata

Message = dict[str, str]

# Control characters but tab and newline: Postgres refuses NUL, terminals obey ESC.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LONE_SURROGATES = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> tuple[str, set[str]]:
    """Return the text without what cannot be stored, and flags naming what was repaired."""
    flags = set()
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    if CONTROLS.search(text):
        text = CONTROLS.sub("", text)
        flags.add("control_characters_removed")
    if LONE_SURROGATES.search(text):
        text = LONE_SURROGATES.sub("\ufffd", text)
        flags.add("broken_characters_replaced")
    return text.strip(), flags


def is_blank(text: str) -> bool:
    """Return True for nothing, white space, and marks that show nothing (zero-width characters)."""
    return all(char.isspace() or unicodedata.category(char) == "Cf" for char in text)
