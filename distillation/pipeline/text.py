"""Normal forms of text: what counts as "the same", and what of a row is embedded.
Try it: pytest distillation/tests/pipeline/choose/test_dedup.py
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence

from distillation.pipeline.types import Message

_WORD = re.compile(r"\w+")


def normalise(text: str) -> str:
    """NFKC, no format characters (zero width, direction marks), casefolded, spaces collapsed."""
    if not text.isascii():  # ASCII has none of either; most text is ASCII
        plain = unicodedata.normalize("NFKC", text)
        text = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    return " ".join(text.casefold().split())


def words(text: str) -> list[str]:
    return _WORD.findall(normalise(text))


def input_key(text: str) -> str:
    """Equal for inputs that differ only in case, spaces, punctuation or emoji."""
    return " ".join(words(text)) or normalise(text)


def input_text(messages: Sequence[Message]) -> str:
    """Everything said before the final answer, system turn apart."""
    turns = [m for m in messages[:-1] if m["role"] != "system"]
    if len(turns) == 1:
        return turns[0]["content"].strip()
    return "\n".join(f"{m['role']}: {m['content'].strip()}" for m in turns)


def embedding_text(messages: Sequence[Message]) -> str:
    """Return the text whose vector stands for a row: its input, since new inputs must match it."""
    return input_text(messages)


def hash_messages(messages: Iterable[Message]) -> str:
    """sha256 over roles and contents in one canonical spelling, equal on every machine."""
    canonical = [[m["role"], m["content"]] for m in messages]
    encoded = json.dumps(canonical, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return hashlib.sha256(encoded).hexdigest()


def clip(text: str, limit: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
