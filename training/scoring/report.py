"""From answers to a verdict: scores with intervals, the trivial baseline, rows with the worst
first, each criterion.

    python -m pytest training/tests/scoring/test_report.py
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from training.scoring.criteria import Criteria
from training.scoring.criterion import (
    BEATS_BASE,
    LATENCY,
    LENGTH,
    LENGTH_RATIO,
    MEASURED,
    NOT_WORSE_THAN_LIVE,
    SIZE,
    Criterion,
    in_words,
)
from training.scoring.intervals import Bootstrap, Interval, as_json, median_interval
from training.scoring.metrics import build_scorer
from training.scoring.outcomes import (
    PASS,
    beats_base,
    meets,
    not_measured,
    not_worse_than_live,
    worst,
)
from training.scoring.pairs import length_of
from training.scoring.scorers import Floats, Scorer
from training.scoring.sql import Fixture
from training.scoring.tables import commonest_object, confusion, field_table, is_json_task

SMALL_TEST = 50
SIDES = ("tuned", "base", "live")


@dataclass(frozen=True)
class Measured:
    """What was measured of one model beside its answers."""

    latencies: list[float] = field(default_factory=list)  # seconds, answers asked one by one
    size_mb: float | None = None
    tokens: list[int] = field(default_factory=list)  # per answer


@dataclass(frozen=True)
class Answers:
    """The held-out rows and what the models answered, in the rows' order."""

    inputs: list[str]
    references: list[str]
    base: list[str]
    tuned: list[str]
    live: list[str] | None = None
    live_name: str = ""
    fixtures: list[Fixture | None] = field(default_factory=list)
    measured: Mapping[str, Measured] = field(default_factory=dict)  # by side

    def of(self, side: str) -> list[str] | None:
        return {"base": self.base, "tuned": self.tuned, "live": self.live}[side]


@dataclass(frozen=True)
class Scored:
    """One metric over all sides."""

    scorer: Scorer
    answers: Answers
    bootstrap: Bootstrap

    @cached_property
    def sums(self) -> dict[str, Floats]:
        sides = {side: self.answers.of(side) for side in SIDES}
        return {
            side: self.scorer.sums(texts, self.answers.references)
            for side, texts in sides.items()
            if texts is not None
        }

    def interval(self, side: str) -> Interval | None:
        if side not in self.sums:
            return None
        return self.bootstrap.interval(self.scorer, self.sums[side])

    def tuned_less(self, side: str) -> Interval:
        return self.bootstrap.difference(self.scorer, self.sums["tuned"], self.sums[side])


@dataclass(frozen=True)
class Grading:
    """What every criterion of one evaluation is graded with."""

    answers: Answers
    metric: str
    options: dict[str, Any]
    bootstrap: Bootstrap

    def scored(self, name: str, options: Mapping[str, Any] | None = None) -> Scored:
        given = {**self.options, **(options or {})}
        scorer = build_scorer(name, given, self.answers.references, self.answers.fixtures)
        return Scored(scorer, self.answers, self.bootstrap)


def build_report(
    answers: Answers, *, metric: str, criteria: Criteria, labels: list[str] | None, seed: int
) -> dict[str, Any]:
    """The report of one evaluation; its `verdict` is the worst outcome among the criteria."""
    bootstrap = Bootstrap(len(answers.references), seed)
    grading = Grading(answers, metric, {"labels": labels} if labels else {}, bootstrap)
    main = grading.scored(metric)
    checked = [_check(check, grading) for check in _with_live(criteria.checks, answers)]
    return {
        "metric": metric,
        "n_test": len(answers.references),
        "base": as_json(main.interval("base")),
        "tuned": as_json(main.interval("tuned")),
        "difference": as_json(main.tuned_less("base")),
        "live": _live(main, answers),
        "baseline": best_baseline(answers, main.scorer),
        "criteria": checked,
        "unread_criteria": criteria.unread,
        "verdict": worst([check["outcome"] for check in checked]),
        "note": _note(len(answers.references), criteria.unread),
        "confusion": confusion(answers.tuned, answers.references, labels),
        "fields": field_table(answers.tuned, answers.base, answers.references),
    }


def _with_live(checks: Sequence[Criterion], answers: Answers) -> list[Criterion]:
    """A live version is a floor that nobody has to ask for."""
    asked = any(check.metric == NOT_WORSE_THAN_LIVE for check in checks)
    if answers.live is None or asked:
        return list(checks)
    return [*checks, Criterion(NOT_WORSE_THAN_LIVE)]


def _live(main: Scored, answers: Answers) -> dict[str, Any] | None:
    found = as_json(main.interval("live"))
    if found is None:
        return None
    return found | {"name": answers.live_name, "difference": as_json(main.tuned_less("live"))}


def _note(rows: int, unread: Sequence[str]) -> str:
    parts = []
    if rows < SMALL_TEST:
        parts.append(
            f"Only {rows} held-out rows: the true scores may be far from these. Add test rows."
        )
    if unread:
        parts.append(f"Not measured, because no check could be read out of it: {'; '.join(unread)}")
    return " ".join(parts)


# --- one criterion ------------------------------------------------------------------------------


def _check(criterion: Criterion, grading: Grading) -> dict[str, Any]:
    if criterion.metric in MEASURED:
        found, judged = _quantity(criterion, grading.answers)
    else:
        found, judged = _score(criterion, grading)
    outcome, explained = judged
    return {
        "metric": criterion.metric,
        "of": _name(criterion, grading),
        "op": criterion.op,
        "value": criterion.value,
        "unit": criterion.unit,
        "score": (found.get("tuned") or {}).get("score"),
        "base": None,
        "live": None,
        "baseline": None,
        "rows": len(grading.answers.references),
        **found,
        "outcome": outcome,
        "passed": outcome == PASS,
        "asked": criterion.sentence,
        "words": in_words(criterion),
        "sentence": explained,
    }


def _name(criterion: Criterion, grading: Grading) -> str:
    compared = criterion.metric in (BEATS_BASE, NOT_WORSE_THAN_LIVE)
    return (criterion.of or grading.metric) if compared else criterion.metric


def _score(criterion: Criterion, grading: Grading) -> tuple[dict[str, Any], tuple[str, str]]:
    name = _name(criterion, grading)
    scored = grading.scored(name, criterion.options)
    found: dict[str, Any] = {side: as_json(scored.interval(side)) for side in SIDES}
    found["baseline"] = best_baseline(grading.answers, scored.scorer, criterion.op)
    found["rows"] = scored.scorer.rows(scored.sums["tuned"])
    if not found["rows"]:
        why = "No held-out row lets it be measured: add rows with that label, or with tables."
        return {"tuned": None, "rows": 0}, not_measured(criterion, why)
    return found, _judged(criterion, scored, name)


def _judged(criterion: Criterion, scored: Scored, name: str) -> tuple[str, str]:
    answers = scored.answers
    if criterion.metric == BEATS_BASE:
        same = answers.base == answers.tuned
        return beats_base(scored.tuned_less("base"), name, identical=same)
    if criterion.metric == NOT_WORSE_THAN_LIVE:
        if answers.live is None:
            return PASS, "There is no live version yet that could be better."
        return not_worse_than_live(scored.tuned_less("live"), name, answers.live_name)
    found = scored.interval("tuned")
    assert found is not None  # the tuned side is always there
    return meets(found, criterion)


def _quantity(criterion: Criterion, answers: Answers) -> tuple[dict[str, Any], tuple[str, str]]:
    """A quantity with a unit: the median over the answers, or the size of the file."""
    sides = {side: _measured_interval(criterion, answers, side) for side in SIDES}
    tuned = sides["tuned"]
    if tuned is None:
        return {"tuned": None}, not_measured(criterion, "This evaluation did not measure it.")
    return {side: as_json(found) for side, found in sides.items()}, meets(tuned, criterion)


def _measured_interval(criterion: Criterion, answers: Answers, side: str) -> Interval | None:
    texts, measured = answers.of(side), answers.measured.get(side, Measured())
    if texts is None:
        return None
    if criterion.metric == SIZE:
        size = measured.size_mb
        return None if size is None else Interval(size, size, size)
    values = _values(criterion, texts, answers.references, measured)
    return median_interval(values) if values else None


def _values(
    criterion: Criterion, texts: Sequence[str], references: Sequence[str], measured: Measured
) -> list[float]:
    unit = str(criterion.options.get("unit", "words"))
    if criterion.metric == LATENCY:
        return measured.latencies
    if criterion.metric == LENGTH_RATIO:
        pairs = zip(texts, references, strict=True)
        return [length_of(p, "words") / max(length_of(r, "words"), 1) for p, r in pairs]
    if criterion.metric == LENGTH and unit == "tokens":
        return [float(count) for count in measured.tokens]
    return [float(length_of(text, unit)) for text in texts]


# --- beside the scores --------------------------------------------------------------------------


def best_baseline(answers: Answers, scorer: Scorer, op: str = ">=") -> dict[str, Any]:
    """The best of the ways to answer without a model: the commonest answer every time, the input
    itself, or nothing. Where less is better, the least.
    """
    rows = len(answers.references)
    guesses = {
        "majority answer": [Counter(answers.references).most_common(1)[0][0]] * rows,
        "copy of the input": answers.inputs,
        "empty answer": [""] * rows,
    }
    if is_json_task(answers.references):
        guesses["majority answer"] = [commonest_object(answers.references)] * rows
        guesses["empty object"] = ["{}"] * rows
    scores = {name: scorer.score(guess, answers.references) for name, guess in guesses.items()}
    best = min if op in ("<", "<=") else max
    name = best(scores, key=lambda key: scores[key])
    return {"name": name, "score": scores[name], "all": scores}


def worst_first(answers: Answers, scorer: Scorer) -> list[dict[str, Any]]:
    """One object per row by the tuned model's score; among equals, where the base did better."""
    sides = {side: texts for side in SIDES if (texts := answers.of(side)) is not None}
    scores = {side: scorer.of_rows(texts, answers.references) for side, texts in sides.items()}
    rows = [
        {"index": index, "input": asked, "reference": reference}
        | {side: texts[index] for side, texts in sides.items()}
        | {f"{side}_score": scores[side][index] for side in sides}
        for index, (asked, reference) in enumerate(
            zip(answers.inputs, answers.references, strict=True)
        )
    ]
    return sorted(rows, key=lambda row: (row["tuned_score"], -row["base_score"], row["index"]))
