"""The report of an evaluation, as pages and API show it. Its files are the truth; what the row
keeps is shown when they are gone.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings

from modelstation.core.charts import Interval
from training.models import EvaluationRun, EvaluationScore
from training.scoring.shapes import AnsweredRow, CriterionResult, Report, Score

HEAT_STEPS = 5
WIDEST_ON_PAPER = 20  # labels
MIXES_SHOWN = 10
REPORT, ROWS = "report.json", "rows.jsonl"
SUBJECTS = {"base": "Base", "tuned": "Tuned", "baseline": "Without a model"}


def report_of(run: EvaluationRun) -> Report:
    """{} before the evaluation has ended, or when its file is gone."""
    report: Report = json.loads(text_of(run, REPORT) or "{}")
    return report


def answers_of(run: EvaluationRun) -> list[AnsweredRow]:
    """Every held-out row with its answers, as the report ordered them: worst first."""
    return [json.loads(line) for line in text_of(run, ROWS).split("\n") if line]


def text_of(run: EvaluationRun, name: str) -> str:
    path = settings.ARTIFACTS_DIR / run.folder / name
    return path.read_text(encoding="utf-8") if run.folder and path.is_file() else ""


def intervals_of(scores: Iterable[EvaluationScore], names: Mapping[str, str]) -> list[Interval]:
    """Return what the charts draw, in the order of `names`; what was not measured is left out."""
    kept = {score.subject: (score.score, score.low, score.high) for score in scores}
    return [Interval(name, *kept[subject]) for subject, name in names.items() if subject in kept]


@dataclass(frozen=True)
class CriterionLine:
    """One row of the table: what was required, and what tuned model, base and no model reach."""

    outcome: str
    words: str
    criterion: str
    sentence: str
    tuned: "Amount"
    base: "Amount"
    baseline: "Amount"


@dataclass(frozen=True)
class Amount:
    """A score with its interval and its unit, in words; empty for what was not measured."""

    score: str = ""
    interval: str = ""


def criteria_of(run: EvaluationRun) -> list[CriterionLine]:
    return [_line(criterion) for criterion in run.criteria]


def _line(criterion: CriterionResult) -> CriterionLine:
    unit = criterion.get("unit", "")
    return CriterionLine(
        outcome=criterion.get("outcome") or ("pass" if criterion.get("passed") else "fail"),
        words=criterion.get("words") or _bound_of(criterion),
        criterion=criterion.get("asked", ""),
        sentence=criterion.get("sentence", ""),
        tuned=_amount(criterion.get("tuned") or criterion.get("score"), unit),
        base=_amount(criterion.get("base"), unit),
        baseline=_amount(criterion.get("baseline"), unit),
    )


def _amount(result: Score | float | None, unit: str) -> Amount:
    """Return a score in words: per cent where it has no unit. Old reports keep the bare number."""
    if isinstance(result, int | float):
        result = {"score": result}
    if result is None or result["score"] is None:
        return Amount()
    score, low, high = result["score"], result.get("low"), result.get("high")
    text = f"{score:.3g} {unit}" if unit else f"{100 * score:.1f} %"
    if low is None or high is None:
        return Amount(text)
    shares = f"{100 * low:.1f} to {100 * high:.1f} %"
    return Amount(text, f"{low:.3g} to {high:.3g} {unit}" if unit else shares)


def _bound_of(criterion: CriterionResult) -> str:
    if criterion.get("metric") == "beats_base":
        return f"{criterion.get('of', 'the metric')} better than the base’s"
    if "value" not in criterion:
        return ""
    return f"{criterion['metric']} {criterion.get('op', '>=')} {criterion['value']:g}"


@dataclass(frozen=True)
class Cell:
    count: int
    heat: int  # 0 for none, to HEAT_STEPS for the whole row
    is_right: bool


@dataclass(frozen=True)
class ConfusionRow:
    number: int  # of its label's column
    label: str
    cells: list[Cell]
    total: int


@dataclass(frozen=True)
class Mix:
    expected: str
    answered: str
    count: int


@dataclass(frozen=True)
class Confusion:
    """Rows are what was expected, columns what the tuned model answered."""

    columns: list[str]
    rows: list[ConfusionRow]

    @property
    def without_row(self) -> list[tuple[int, str]]:
        """Columns whose label no row names: answered here and there, and never expected."""
        named = {row.number for row in self.rows}
        return [(n, label) for n, label in enumerate(self.columns, 1) if n not in named]

    @property
    def is_wide(self) -> bool:
        return len(self.columns) > WIDEST_ON_PAPER

    @property
    def mixed_up(self) -> list[Mix]:
        """The commonest mistakes."""
        mixes = [
            Mix(row.label, column, cell.count)
            for row in self.rows
            for column, cell in zip(self.columns, row.cells, strict=False)
            if cell.count and not cell.is_right
        ]
        return sorted(mixes, key=lambda mix: -mix.count)[:MIXES_SHOWN]


def confusion_of(report: Report) -> Confusion | None:
    """None for a task that is not one of labels. A label that no row expects has no row."""
    table = report.get("confusion") or {"labels": [], "counts": []}
    labels = [str(label) for label in table["labels"]]
    pairs = zip(labels, table["counts"], strict=False)
    rows = [
        ConfusionRow(number, label, _cells(label, labels, counts), sum(counts))
        for number, (label, counts) in enumerate(pairs, 1)
        if any(counts)
    ]
    return Confusion(labels, rows) if rows else None


def _cells(label: str, columns: list[str], counts: list[int]) -> list[Cell]:
    """Return them with their heat rounded up: one is never shown as none."""
    return [
        Cell(count, -(-count * HEAT_STEPS // sum(counts)), column == label)
        for column, count in zip(columns, counts, strict=False)
    ]
