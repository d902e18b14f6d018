"""What the tuned model is measured against: criteria written as checks, or read out of plain
sentences.

    python -m pytest training/tests/test_criteria.py

A sentence that cannot be turned into a check is handed back as unread: a criterion that nobody
measured must not pass.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.evaluation.metrics import NEEDS_OPTION, metric_names

BEATS_BASE = "beats_base"
OPS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda score, value: score >= value,
    ">": lambda score, value: score > value,
    "<=": lambda score, value: score <= value,
    "<": lambda score, value: score < value,
}
FINAL_NUMBER_LINE = r"####\s*-?[\d,.]*\d[\d,.]*\s*$"


@dataclass(frozen=True)
class Criterion:
    """One check of the tuned model.

    `of` is the metric that "beats_base" compares; None stands for the run's own.
    """

    metric: str
    op: str = ">="
    value: float = 0.0
    of: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    sentence: str = ""


@dataclass(frozen=True)
class Criteria:
    checks: list[Criterion]
    unread: list[str]


def read_criteria(written: Sequence[str | dict[str, Any]]) -> Criteria:
    """Checks out of objects and sentences; "beats_base" is always among them. ValueError for a
    malformed object.
    """
    checks, unread = [], []
    for item in written:
        check = compile_sentence(item) if isinstance(item, str) else _from_object(item)
        if check is None:
            unread.append(str(item))
        else:
            checks.append(check)
    if not any(check.metric == BEATS_BASE and check.of is None for check in checks):
        checks.append(Criterion(BEATS_BASE, ">", 0.0))
    return Criteria(checks, unread)


def _from_object(item: dict[str, Any]) -> Criterion | None:
    """An object with only a sentence is read as that sentence."""
    name = item.get("metric")
    if name is None and item.get("sentence"):
        return compile_sentence(str(item["sentence"]))
    if name == BEATS_BASE:
        return Criterion(BEATS_BASE, ">", 0.0, of=item.get("of"), sentence=item.get("sentence", ""))
    _require(
        name in metric_names(),
        f"A criterion names the unknown metric {name!r}. Known are: {', '.join(metric_names())}.",
    )
    _require(item.get("op", ">=") in OPS, f"A criterion's op must be one of: {', '.join(OPS)}.")
    value, option = item.get("value"), NEEDS_OPTION.get(str(name))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    _require(
        number and 0 <= float(value or 0) <= 1,
        f"The criterion on {name} needs a value between 0 and 1.",
    )
    _require(
        option in (None, "labels") or option in item, f"The criterion on {name} needs {option!r}."
    )
    options = {key: item[key] for key in NEEDS_OPTION.values() if key in item}
    return Criterion(
        str(name),
        item.get("op", ">="),
        float(value or 0),
        options=options,
        sentence=item.get("sentence", ""),
    )


def _require(holds: object, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


# --- plain sentences ----------------------------------------------------------------------------

# The first pattern that occurs in the sentence names the metric, so the particular ones come first.
WORDS_OF_METRIC: tuple[tuple[str, str], ...] = (
    (
        r"one of the (known|allowed|listed|given)? ?(label|topic|class|categor|intent|value)",
        "known_label",
    ),
    (r"(known|allowed|valid) (label|topic|class|categor|intent)", "known_label"),
    (r"last line .*####|#### form", "regex"),
    (r"parses? (in|as|with) (sqlite|sql)|valid sql", "sql_parses"),
    (r"macro[- ]?recall|balanced accuracy", "macro_recall"),
    (r"macro[- ]?f1", "macro_f1"),
    (r"rouge[- ]?l", "rougeL_f1"),
    (r"(entity|entities|ner)\b.*f1|f1 .*entit", "entity_f1"),
    (r"field[- ]?f1", "field_f1"),
    (r"token[- ]?f1|word[- ]?f1", "token_f1"),
    (r"valid json|parses? as json|well-formed json|json is valid", "json_valid"),
    (r"(equal|identical|same|exact|match\w*) json|json .*(equal|identical|match)", "json_equal"),
    (r"first (word|token)", "first_token_match"),
    (r"final (number|answer|result)|right number", "final_number_match"),
    (
        r"exact(ly)?[- ](the )?(same|match|right|correct|label)|accura|correct|right answers?",
        "exact_match",
    ),
)
NOT_MEASURED = re.compile(
    r"\bexecut|\bfixtures?\b|median|length|latency|seconds?\b|\bms\b|\bmb\b"
    r"|per class|each (label|class)"
)
NEGATED = re.compile(
    r"\b(wrong|errors?|invalid|incorrect|false|unknown|never|no|not|fails?|without)\b"
)
AGAINST_BASE = re.compile(
    r"\b(than|over|beats?|above|outperforms?)\b[^.]{0,30}\b(base|untuned|original)\b"
)
AT_LEAST = re.compile(
    r"at least|no less than|not less than|minimum|≥|>=|or (more|better|higher)|reach"
)
MORE_THAN = re.compile(r"more than|above|over\b|exceed|better than|higher than|>")
NUMBER = re.compile(r"(?<![\w.-])(\d+(?:\.\d+)?)\s*(%|percent|per cent|points)?(?![\w-])")


def compile_sentence(sentence: str) -> Criterion | None:
    """The check that a sentence states, or None.

    A doubtful sentence is left unread rather than misread.
    """
    text = " ".join(sentence.lower().split())
    metric = _metric_named(text)
    if AGAINST_BASE.search(text):  # by how much is not asked of any check we have
        margin = NUMBER.search(text)
        return None if margin else Criterion(BEATS_BASE, ">", 0.0, of=metric, sentence=sentence)
    bound = _bound(text)
    if metric is None or bound is None or NOT_MEASURED.search(text):
        return None
    if NEGATED.search(AT_LEAST.sub(" ", text)):
        return None
    options = {"pattern": FINAL_NUMBER_LINE} if metric == "regex" else {}
    return Criterion(metric, bound[0], bound[1], options=options, sentence=sentence)


def _metric_named(text: str) -> str | None:
    return next((name for pattern, name in WORDS_OF_METRIC if re.search(pattern, text)), None)


def _bound(text: str) -> tuple[str, float] | None:
    """(op, value in [0, 1]) of a sentence with exactly one number and a lower bound."""
    op = ">=" if AT_LEAST.search(text) else ">" if MORE_THAN.search(text) else None
    numbers = NUMBER.findall(re.sub(r"\bf1\b", " ", text))
    if op is None or len(numbers) != 1:
        return None
    value = float(numbers[0][0])
    value = value / 100 if numbers[0][1] or value > 1 else value
    return (op, value) if 0 <= value <= 1 else None
