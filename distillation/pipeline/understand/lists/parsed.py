"""What plain parsing has found: names and the places where they stand."""

from dataclasses import dataclass

MAX_WORDS = 5  # of one name
MAX_NAMES = 120
MAX_SPANS = 120  # of one text: people list what they mean near its beginning or end
MAX_RUNS = 200  # of one clause
MAX_CANDIDATES = 1500
QUOTES = "\"'“”„‟‘’‚`´«»‹›*"
Span = tuple[int, int]


@dataclass(frozen=True)
class Parsed:
    spans: tuple[Span, ...]
    names: tuple[str, ...]
    form: str
    joined: str = ""
    descriptions: tuple[str, ...] = ()
    cut: tuple[int, int] = (0, 0)
    tail: bool = False
