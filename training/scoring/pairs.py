"""How one answer is graded against its reference, and the formats an answer is read in."""

import json
import re
import sqlite3
import unicodedata
from collections import Counter
from contextlib import closing
from functools import cache
from typing import Any

FINAL_NUMBER = re.compile(r"####\s*(-?[\d,.]+)")
PLAIN_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")
REFUSES = re.compile(
    r"^\W*(i'?m |i am )?(sorry|unable to|not able to)\b"
    r"|^\W*(i|we) (can(no|')?t|can not|won't|am unable|'m unable|am not able)\b"
    r"|\bas an ai\b",
    re.IGNORECASE,
)
CHRF_ORDER = 6
SQL_NOT_PARSED = re.compile(
    "syntax error|incomplete input|unrecognized token|one statement|null character"
)


def exact_match(prediction: str, reference: str) -> float:
    return float(normalise(prediction) == normalise(reference))


def json_equal(prediction: str, reference: str) -> float:
    """Both parse and hold the same values, whatever the order of keys; true is not 1."""
    expected, predicted = parse_json(reference), parse_json(prediction)
    readable = predicted is not INVALID and expected is not INVALID
    return float(readable and canonical(predicted) == canonical(expected))


def json_valid(prediction: str, reference: str) -> float:
    return float(parse_json(prediction) is not INVALID)


def token_f1(prediction: str, reference: str) -> float:
    """F1 over the multiset of white-space tokens, case kept: `-X` and `-x` are two options."""
    return f1(*overlap(Counter(prediction.split()), Counter(reference.split())))


def rouge_l_f1(prediction: str, reference: str) -> float:
    """Longest common subsequence of lower-cased words, no stemming (Lin 2004, as in the rouge-score
    package).
    """
    return float(_rouge().score(reference, prediction)["rougeL"].fmeasure)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # seconds to import

    return RougeScorer(["rougeL"], use_stemmer=False)


def final_number_match(prediction: str, reference: str) -> float:
    """Compare the numbers after the last `####`; without that mark in the reference, the last."""
    if FINAL_NUMBER.search(reference) is None:
        return number_match(prediction, reference)
    return same_number(FINAL_NUMBER.findall(prediction), FINAL_NUMBER.findall(reference))


def number_match(prediction: str, reference: str) -> float:
    return same_number(PLAIN_NUMBER.findall(prediction), PLAIN_NUMBER.findall(reference))


def contains(prediction: str, reference: str) -> float:
    return float(normalise(reference) in normalise(prediction))


def first_token_match(prediction: str, reference: str) -> float:
    return float(prediction.split()[:1] == reference.split()[:1])


def refusal(prediction: str, reference: str) -> float:
    """Look for an opening that declines; where the reference has one too, it is no refusal."""
    return float(bool(REFUSES.search(prediction)) and not REFUSES.search(reference))


def length_of(text: str, unit: str) -> int:
    """In words or characters; tokens are counted by the engine."""
    return len(text.split()) if unit == "words" else len(text.strip())


def chrf_counts(prediction: str, reference: str) -> list[int]:
    """Count common, predicted and expected character n-grams for n = 1 … 6, without white space."""
    predicted, expected = "".join(prediction.split()), "".join(reference.split())
    counts: list[int] = []
    for n in range(1, CHRF_ORDER + 1):
        counts += overlap(_ngrams(predicted, n), _ngrams(expected, n))
    return counts


def _ngrams(text: str, n: int) -> Counter[Any]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def sql_parses(prediction: str, reference: str) -> float:
    """SQLite reads the answer as one statement. Unknown tables and columns are no such matter."""
    if not prediction.strip():
        return 0.0
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.execute(f"EXPLAIN {prediction}")
        except (sqlite3.Error, ValueError) as error:
            return float(not SQL_NOT_PARSED.search(str(error)))
    return 1.0


INVALID = object()


def normalise(text: str) -> str:
    """Return what is compared: one form of each accent, one blank between words, lower case."""
    return " ".join(unicodedata.normalize("NFC", text).split()).lower()


# --- whether a reference can be graded against ----------------------------------------------------


def is_json(text: str) -> bool:
    return parse_json(text) is not INVALID


def has_number(text: str) -> bool:
    return PLAIN_NUMBER.search(text) is not None


def has_words(text: str) -> bool:
    return bool(text.split())


def has_latin_words(text: str) -> bool:
    """Say whether ROUGE sees a word: it reads no letters but a to z, and digits."""
    return re.search("[a-z0-9]", text.lower()) is not None


def is_sql(text: str) -> bool:
    return sql_parses(text, text) == 1


def parse_json(text: str) -> Any:
    """Return the value, or INVALID; also where anything stands around the JSON: a program has to
    read it as it comes.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return INVALID


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def canonical(value: Any) -> str:
    return json.dumps(_same_numbers(value), sort_keys=True)


def _same_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _same_numbers(item) for key, item in value.items()}
    return [_same_numbers(item) for item in value] if isinstance(value, list) else value


def entities(text: str) -> Counter[Any] | None:
    """Return the set of (type, exact name) pairs of `{type: [names]}`; None for another format."""
    value = parse_json(text)
    if not isinstance(value, dict):
        return None
    lists = [(kind, [names] if isinstance(names, str) else names) for kind, names in value.items()]
    if any(not isinstance(names, list) for _, names in lists):
        return None
    return Counter({(kind, str(name)): 1 for kind, names in lists for name in names})


def fields(text: str) -> Counter[Any] | None:
    """Every leaf of a JSON object as a (path, value) pair; list items share their list's path."""
    value = parse_json(text)
    return Counter(_leaves(value, ())) if isinstance(value, dict) else None


def _leaves(value: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item, (*path, "[]"))]
    return [(path, canonical(value))]


def overlap(predicted: Counter[Any], expected: Counter[Any]) -> tuple[int, int, int]:
    return (predicted & expected).total(), predicted.total(), expected.total()


def f1(hits: int, predicted: int, expected: int) -> float:
    return 1.0 if predicted + expected == 0 else 2 * hits / (predicted + expected)


def same_number(predicted: list[str], expected: list[str]) -> float:
    if not predicted or not expected:
        return 0.0
    left, right = _number(predicted[-1]), _number(expected[-1])
    return float(left is not None and left == right)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "").rstrip("."))
    except ValueError:
        return None
