"""One check of the acceptance contract: a metric, a bound, and how both read in plain words.

It can be written to JSON and read back, so that a contract frozen with the requirement is the one
that is measured.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from operator import ge, gt, le, lt
from typing import Any, cast

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from training.scoring.metrics import METRICS, Options

BEATS_BASE = "beats_base"
NOT_WORSE_THAN_LIVE = "not_worse_than_live"
NOT_WORSE_THAN_RIVAL = "not_worse_than_rival"
COMPARED = (BEATS_BASE, NOT_WORSE_THAN_LIVE, NOT_WORSE_THAN_RIVAL)
LATENCY, SIZE, LENGTH, LENGTH_RATIO = "latency", "size", "length", "length_ratio"
MEASURED = (LATENCY, SIZE, LENGTH, LENGTH_RATIO)  # quantities with a unit, not shares of the rows
LENGTH_UNITS = ("words", "characters", "tokens")
OPS: dict[str, Callable[[float, float], bool]] = {">=": ge, ">": gt, "<=": le, "<": lt}
IN_WORDS_OF_OP = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}
IN_WORDS_OF_QUANTITY = {
    LATENCY: "the median time of one answer, asked one by one on the machine that evaluates",
    SIZE: "the size of the served model file",
    LENGTH: "the median length of an answer",
    LENGTH_RATIO: "the median length of an answer as a multiple of its reference's, in words",
}
UNIT_OF = {LATENCY: "seconds", SIZE: "MB", LENGTH_RATIO: "times"}


class CheckJson(TypedDict):
    """A check of a contract as it is stored: the fields of a Criterion, and its plain words."""

    metric: str
    op: str
    value: float
    of: str | None
    options: Options
    sentence: str
    words: str


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
    options: Options = field(default_factory=Options)
    sentence: str = ""

    @property
    def unit(self) -> str:
        return UNIT_OF.get(self.metric) or str(self.options.get("unit", ""))

    @property
    def bound_in_words(self) -> str:
        return f"{IN_WORDS_OF_OP[self.op]} {words_of_value(self, self.value)}"

    def with_words(self) -> CheckJson:
        return cast(CheckJson, {**asdict(self), "words": in_words(self)})

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Criterion":
        """Read a check as stored or written. ValueError, a sentence for the user, for a malformed
        one.
        """
        item = {**written.get("options", {}), **written}
        name, sentence = item.get("metric"), str(item.get("sentence") or "")
        if name in COMPARED:
            op = ">" if name == BEATS_BASE else ">="
            return cls(name, op, of=item.get("of"), sentence=sentence)
        known = [*sorted(METRICS), *MEASURED, BEATS_BASE, NOT_WORSE_THAN_RIVAL]
        unknown = f"A criterion names the unknown metric {name!r}. Known are: {', '.join(known)}."
        _require(name in known, unknown)
        op = item.get("op", "<=" if name in MEASURED else ">=")
        _require(op in OPS, f"A criterion's op must be one of: {', '.join(OPS)}.")
        value, options = _value(str(name), item.get("value")), _options(str(name), item)
        return cls(str(name), op, value, options=options, sentence=sentence)


def _value(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    bounds, fits = "above 0", number and float(value) > 0
    if name not in MEASURED:
        bounds, fits = "between 0 and 1", number and 0 <= float(value) <= 1
    _require(fits, f"The criterion on {name} needs a value {bounds}.")
    return float(value)


def _options(name: str, item: Mapping[str, Any]) -> Options:
    needed = METRICS[name].option if name in METRICS else ""
    _require(
        not needed or item.get(needed) is not None, f"The criterion on {name} needs {needed!r}."
    )
    unit = item.get("unit", "words")
    _require(
        name not in (LENGTH, "length_within") or unit in LENGTH_UNITS,
        f"The criterion on {name} needs a unit: {', '.join(LENGTH_UNITS)}.",
    )
    _require(
        name != "length_within" or unit != "tokens", "length_within counts words or characters."
    )
    known = sorted(Options.__annotations__)
    return cast(Options, {key: item[key] for key in known if item.get(key) is not None})


def _require(holds: object, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


def in_words(criterion: Criterion) -> str:
    """Say what is measured, and the bound that passes, as one sentence of plain English."""
    of = f" on {criterion.of}" if criterion.of else " on the model's own metric"
    if criterion.metric == BEATS_BASE:
        return f"The tuned model scores higher than its untuned base{of}, beyond chance."
    if criterion.metric == NOT_WORSE_THAN_LIVE:
        return f"The tuned model does not score lower than the live version{of}, beyond chance."
    if criterion.metric == NOT_WORSE_THAN_RIVAL:
        return (
            f"The tuned model does not score lower{of} than the best of something simpler that "
            "learned from the same rows, beyond chance."
        )
    measured = words_of_metric(criterion.metric, criterion.options)
    return f"Passes when {measured} is {criterion.bound_in_words}."


def words_of_metric(metric: str, options: Options) -> str:
    limits = {"limits": _limits(options)} if metric == "length_within" else {}
    words = METRICS[metric].words if metric in METRICS else IN_WORDS_OF_QUANTITY.get(metric, metric)
    return words.format_map(_Blank(limits, **options))


class _Blank(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return key


def _limits(options: Options) -> str:
    least, most = options.get("least"), options.get("most")
    parts = [f"at least {least}"] if least else []
    parts += [f"at most {most}"] if most is not None else []
    return f"{' and '.join(parts)} {options.get('unit', 'words')}"


def words_of_value(criterion: Criterion, value: float) -> str:
    """75 %, or 2 seconds; a share that is no share of rows stays a plain number."""
    if criterion.metric in MEASURED:
        return f"{value:.4g} {criterion.unit or 'words'}"
    if criterion.metric in METRICS and METRICS[criterion.metric].is_share:
        return f"{100 * value:.4g} %"
    return f"{value:.3g}"
