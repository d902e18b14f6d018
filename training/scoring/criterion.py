"""One check of the acceptance contract: a metric, a bound, and how both are said in plain words.

    python -m pytest training/tests/scoring/test_criteria.py

It can be written to JSON and read back, so that a contract frozen with the requirement is the one
that is measured.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from training.scoring.metrics import NEEDS_OPTION, metric_names

BEATS_BASE = "beats_base"
NOT_WORSE_THAN_LIVE = "not_worse_than_live"
LATENCY, SIZE, LENGTH, LENGTH_RATIO = "latency", "size", "length", "length_ratio"
MEASURED = (LATENCY, SIZE, LENGTH, LENGTH_RATIO)  # quantities with a unit, not shares of the rows
LENGTH_UNITS = ("words", "characters", "tokens")
OPS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda score, value: score >= value,
    ">": lambda score, value: score > value,
    "<=": lambda score, value: score <= value,
    "<": lambda score, value: score < value,
}
IN_WORDS_OF_OP = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
IN_WORDS_OF_METRIC = {
    "exact_match": "the share of answers that are exactly the reference (case and outer space "
    "apart)",
    "accuracy": "the share of answers that are exactly the reference (case and outer space apart)",
    "macro_f1": "F1 per label, averaged over the labels",
    "macro_recall": "recall per label, averaged over the labels",
    "least_recall": "recall of the label with the lowest recall",
    "least_f1": "F1 of the label with the lowest F1",
    "json_equal": "the share of answers that hold the same JSON values as the reference",
    "json_valid": "the share of answers that are valid JSON and nothing else",
    "json_schema": "the share of answers that fit the given JSON schema",
    "entity_f1": "F1 over all (type, name) pairs of all answers",
    "field_f1": "F1 over all fields of all JSON answers",
    "token_f1": "F1 over the words of an answer and its reference, averaged over the rows",
    "rougeL_f1": "ROUGE-L F1 against the reference, averaged over the rows",
    "chrf": "chrF, the overlap of character sequences with the references (0 to 1)",
    "final_number_match": "the share of answers whose final number is that of the reference",
    "number_match": "the share of answers whose last number is that of the reference",
    "contains": "the share of answers that contain the reference",
    "first_token_match": "the share of answers whose first word is that of the reference",
    "sql_parses": "the share of answers that SQLite reads as one statement",
    "execution_accuracy": "the share of SQL answers that give the same rows as the reference when "
    "both are executed",
    "known_label": "the share of answers that are one of the known labels",
    "regex": "the share of answers that match the pattern {pattern}",
    "refusal": "the share of answers that refuse to answer",
    "empty": "the share of answers that are empty",
    "answer_share": "the share of answers that are “{answer}”",
    "label_recall": "the share of the rows of label “{label}” that are answered so",
    "label_precision": "the share of the answers “{label}” that are right",
    "length_within": "the share of answers that have {limits}",
    LATENCY: "the median time of one answer, asked one by one on the machine that evaluates",
    SIZE: "the size of the served model file",
    LENGTH: "the median length of an answer",
    LENGTH_RATIO: "the median length of an answer as a multiple of its reference's, in words",
}
UNIT_OF = {LATENCY: "seconds", SIZE: "MB", LENGTH_RATIO: "times"}


@dataclass(frozen=True)
class Criterion:
    """One check of the tuned model.

    `of` is the metric that "beats_base" compares; None stands for the run's own. `value` is a
    share between 0 and 1, or for the MEASURED quantities a number of `unit`.
    """

    metric: str
    op: str = ">="
    value: float = 0.0
    of: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    sentence: str = ""

    @property
    def unit(self) -> str:
        return UNIT_OF.get(self.metric) or str(self.options.get("unit", ""))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> "Criterion":
        """The check that `to_json` wrote. ValueError for one that is not, or is malformed."""
        return check_from_object({**written.get("options", {}), **written})


def check_from_object(item: dict[str, Any]) -> Criterion:
    """The check that an object names. ValueError, a sentence for the user, for a malformed one."""
    name, sentence = item.get("metric"), str(item.get("sentence") or "")
    if name == BEATS_BASE:
        return Criterion(BEATS_BASE, ">", 0.0, of=item.get("of"), sentence=sentence)
    if name == NOT_WORSE_THAN_LIVE:
        return Criterion(NOT_WORSE_THAN_LIVE, ">=", 0.0, of=item.get("of"), sentence=sentence)
    known = [*metric_names(), *MEASURED, BEATS_BASE]
    _require(
        name in known,
        f"A criterion names the unknown metric {name!r}. Known are: {', '.join(known)}.",
    )
    op = item.get("op", "<=" if name in MEASURED else ">=")
    _require(op in OPS, f"A criterion's op must be one of: {', '.join(OPS)}.")
    value, options = _value(str(name), item.get("value")), _options(str(name), item)
    return Criterion(str(name), op, value, options=options, sentence=sentence)


def _value(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in MEASURED:
        _require(number and float(value) > 0, f"The criterion on {name} needs a value above 0.")
    else:
        _require(
            number and 0 <= float(value) <= 1,
            f"The criterion on {name} needs a value between 0 and 1.",
        )
    return float(value)


def _options(name: str, item: dict[str, Any]) -> dict[str, Any]:
    needed = NEEDS_OPTION.get(name)
    _require(
        needed in (None, "labels") or item.get(needed) is not None,
        f"The criterion on {name} needs {needed!r}.",
    )
    unit = item.get("unit", "words")
    _require(
        name not in (LENGTH, "length_within") or unit in LENGTH_UNITS,
        f"The criterion on {name} needs a unit: {', '.join(LENGTH_UNITS)}.",
    )
    _require(
        name != "length_within" or unit != "tokens", "length_within counts words or characters."
    )
    taken = {*NEEDS_OPTION.values(), "least", "most"}
    return {key: item[key] for key in sorted(taken) if item.get(key) is not None}


def _require(holds: object, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


# --- plain words --------------------------------------------------------------------------------


def in_words(criterion: Criterion) -> str:
    """What is measured, the bound, and what passes, as one sentence of plain English."""
    of = f" on {criterion.of}" if criterion.of else " on the model's own metric"
    if criterion.metric == BEATS_BASE:
        return f"The tuned model scores higher than its untuned base{of}, beyond chance."
    if criterion.metric == NOT_WORSE_THAN_LIVE:
        return f"The tuned model does not score lower than the live version{of}, beyond chance."
    measured = words_of_metric(criterion.metric, criterion.options)
    bound = f"{IN_WORDS_OF_OP[criterion.op]} {words_of_value(criterion, criterion.value)}"
    return f"Passes when {measured} is {bound}."


def words_of_metric(metric: str, options: dict[str, Any]) -> str:
    told = {"limits": _limits(options), **options} if metric == "length_within" else options
    return IN_WORDS_OF_METRIC.get(metric, metric).format_map(_Blank(told))


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return key


def _limits(options: dict[str, Any]) -> str:
    least, most = options.get("least"), options.get("most")
    parts = [f"at least {least}"] if least else []
    parts += [f"at most {most}"] if most is not None else []
    return f"{' and '.join(parts)} {options.get('unit', 'words')}"


def words_of_value(criterion: Criterion, value: float) -> str:
    """75 %, or 2 seconds; a share that is no share of rows stays a plain number."""
    if criterion.metric in MEASURED:
        return f"{value:.4g} {criterion.unit or 'words'}"
    if "share" in IN_WORDS_OF_METRIC.get(criterion.metric, ""):
        return f"{100 * value:.4g} %"
    return f"{value:.3g}"
