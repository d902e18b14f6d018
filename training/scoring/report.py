"""From answers to a verdict: scores with intervals, the trivial baseline, rows with the worst
first, each criterion.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from training.scoring import criterion as checks
from training.scoring import outcomes, shapes
from training.scoring.criteria import Criteria
from training.scoring.criterion import (
    BEATS_BASE,
    COMPARED,
    MEASURED,
    NOT_WORSE_THAN_LIVE,
    NOT_WORSE_THAN_RIVAL,
    Criterion,
)
from training.scoring.intervals import Bootstrap, Interval, median_interval
from training.scoring.metrics import METRICS, Options, build_scorer, unreadable
from training.scoring.pairs import length_of
from training.scoring.scorers import Floats, Scorer
from training.scoring.sql import Fixture
from training.scoring.tables import commonest_object, confusion, field_table, is_json_task

SMALL_TEST = 50
SIDES = ("tuned", "base", "live")


@dataclass(frozen=True)
class Measured:
    """What was measured of one model beside its answers."""

    latencies: list[float] = field(default_factory=list)  # seconds, answers requested one by one
    size_mb: float | None = None
    tokens: list[int] = field(default_factory=list)  # per answer


@dataclass(frozen=True)
class Rival:
    """Its answers, in the rows' order, and what one of them costs, in a batch."""

    name: str
    texts: list[str]
    milliseconds: float
    size_mb: float


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
    rivals: Sequence[Rival] | None = None  # None: nothing learned from the same rows

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
        answers = self.answers
        sides = {side: texts for side in SIDES if (texts := answers.of(side)) is not None}
        return {side: self.scorer.sums(texts, answers.references) for side, texts in sides.items()}

    def interval(self, side: str) -> Interval:
        return self.bootstrap.interval(self.scorer, self.sums[side])

    @cached_property
    def rivals(self) -> list[shapes.RivalResult]:
        """The best one first."""
        found: list[shapes.RivalResult] = []
        for rival in self.answers.rivals or ():
            sums = self.scorer.sums(rival.texts, self.answers.references)
            less = self.bootstrap.difference(self.scorer, self.sums["tuned"], sums)
            score = self.bootstrap.interval(self.scorer, sums)
            found.append(
                {
                    "score": score.score,
                    "low": score.low,
                    "high": score.high,
                    "name": rival.name,
                    "difference": less.to_json(),
                    "milliseconds": rival.milliseconds,
                    "size_mb": rival.size_mb,
                }
            )
        return sorted(found, key=lambda each: -each["score"])

    def tuned_less(self, side: str) -> Interval:
        return self.bootstrap.difference(self.scorer, self.sums["tuned"], self.sums[side])


@dataclass(frozen=True)
class Grading:
    """What every criterion of one evaluation is graded with."""

    answers: Answers
    metric: str
    options: Options
    bootstrap: Bootstrap

    def scored(self, name: str, options: Options | None = None) -> Scored:
        given: Options = {**self.options, **(options or {})}
        references = self.answers.references
        tables = self.answers.fixtures or [None] * len(references)
        scorer = build_scorer(name, given, references, tables)
        return Scored(scorer, self.answers, self.bootstrap)


def build_report(
    answers: Answers,
    *,
    metric: str,
    criteria: Criteria,
    labels: list[str] | None,
    seed: int,
    more: Sequence[shapes.CriterionResult] = (),
) -> shapes.Report:
    """Return the report of one evaluation; its `verdict` is the worst outcome of any criterion, or
    of the checks that come as `more`.
    """
    bootstrap = Bootstrap(len(answers.references), seed)
    grading = Grading(answers, metric, {"labels": labels} if labels else {}, bootstrap)
    main = grading.scored(metric)
    graded = [_check(check, grading) for check in _with_live(criteria.checks, answers)]
    graded += more
    return {
        "metric": metric,
        "n_test": len(answers.references),
        "base": main.interval("base").to_json(),
        "tuned": main.interval("tuned").to_json(),
        "difference": main.tuned_less("base").to_json(),
        "live": _live(main, answers),
        "baseline": best_baseline(answers, main.scorer),
        "rivals": main.rivals,
        "criteria": graded,
        "unread_criteria": criteria.unread,
        "verdict": outcomes.worst([check["outcome"] for check in graded]),
        "note": _note(metric, answers.references, criteria.unread),
        "confusion": confusion(answers.tuned, answers.references, labels),
        "fields": field_table(answers.tuned, answers.base, answers.references),
    }


def _with_live(checks: Sequence[Criterion], answers: Answers) -> list[Criterion]:
    """Add the live version, a floor that nobody has to request."""
    is_there = any(check.metric == NOT_WORSE_THAN_LIVE for check in checks)
    if answers.live is None or is_there:
        return list(checks)
    return [*checks, Criterion(NOT_WORSE_THAN_LIVE)]


def _live(main: Scored, answers: Answers) -> shapes.LiveResult | None:
    if answers.live is None:
        return None
    score, difference = main.interval("live").to_json(), main.tuned_less("live").to_json()
    return {**score, "name": answers.live_name, "difference": difference}


def _note(metric: str, references: Sequence[str], unread: Sequence[str]) -> str:
    rows, reads = len(references), METRICS[metric].reads
    few = f"Only {rows} held-out rows: the true scores may be far from these. Add test rows."
    why = f"Not measured, because no check could be read out of it: {'; '.join(unread)}"
    left_out = rows - sum(map(reads, references)) if reads else 0
    parts = [few] if rows < SMALL_TEST else []
    if none := unreadable(metric, references):
        parts.append(f"Not measured: {none}")
    elif left_out:
        parts.append(f"{left_out} of {rows} rows are left out: {metric} cannot read their answers.")
    return " ".join([*parts, why] if unread else parts)


# --- one criterion ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Graded:
    """What one criterion measured, by side, and its outcome with the sentence that explains it."""

    judged: tuple[str, str]
    rows: int
    scores: Mapping[str, shapes.Score] = field(default_factory=dict)
    baseline: shapes.Baseline | None = None


def _check(criterion: Criterion, grading: Grading) -> shapes.CriterionResult:
    graded = (_quantity if criterion.metric in MEASURED else _score)(criterion, grading)
    outcome, explained = graded.judged
    tuned = graded.scores.get("tuned")
    return {
        "metric": criterion.metric,
        "of": _name(criterion, grading),
        "op": criterion.op,
        "value": criterion.value,
        "unit": criterion.unit,
        "score": tuned["score"] if tuned else None,
        "tuned": tuned,
        "base": graded.scores.get("base"),
        "live": graded.scores.get("live"),
        "baseline": graded.baseline,
        "rows": graded.rows,
        "outcome": outcome,
        "passed": outcome == outcomes.PASS,
        "asked": criterion.sentence,
        "words": checks.in_words(criterion),
        "sentence": explained,
    }


def _name(criterion: Criterion, grading: Grading) -> str:
    compared = criterion.metric in COMPARED
    return (criterion.of or grading.metric) if compared else criterion.metric


def _score(criterion: Criterion, grading: Grading) -> Graded:
    name = _name(criterion, grading)
    scored = grading.scored(name, criterion.options)
    rows = scored.scorer.rows(scored.sums["tuned"])
    if not rows:
        why = unreadable(name, grading.answers.references) or (
            "No held-out row lets it be measured: add rows with that label, or with tables."
        )
        return Graded(outcomes.not_measured(criterion, why), 0)
    if criterion.metric == NOT_WORSE_THAN_RIVAL and not scored.rivals:
        why = "The rows that it was trained on are not at hand."
        return Graded(outcomes.not_measured(criterion, why), rows)
    return Graded(
        _judged(criterion, scored, name),
        rows,
        {side: scored.interval(side).to_json() for side in scored.sums},
        best_baseline(grading.answers, scored.scorer, criterion.op),
    )


def _judged(criterion: Criterion, scored: Scored, name: str) -> tuple[str, str]:
    answers = scored.answers
    if criterion.metric == BEATS_BASE:
        same = answers.base == answers.tuned
        return outcomes.beats_base(scored.tuned_less("base"), name, identical=same)
    if criterion.metric == NOT_WORSE_THAN_LIVE:
        if answers.live is None:
            return outcomes.PASS, "There is no live version yet that could be better."
        return outcomes.not_worse_than_live(scored.tuned_less("live"), name, answers.live_name)
    if criterion.metric == NOT_WORSE_THAN_RIVAL:
        better = [rival for rival in scored.rivals if rival["difference"].get("high", 0) < 0]
        best = [*better, *scored.rivals][0]
        less = best["difference"]
        change = Interval(less["score"], less["low"], less["high"])
        return outcomes.not_worse_than_rival(change, name, best["name"])
    return outcomes.meets(scored.interval("tuned"), criterion)


def _quantity(criterion: Criterion, grading: Grading) -> Graded:
    """Grade a quantity with a unit: the median over the answers, or the size of the file."""
    rows = len(grading.answers.references)
    measured = {side: _measured_interval(criterion, grading.answers, side) for side in SIDES}
    tuned = measured["tuned"]
    if tuned is None:
        return Graded(outcomes.not_measured(criterion, "This evaluation did not measure it."), rows)
    scores = {side: interval.to_json() for side, interval in measured.items() if interval}
    return Graded(outcomes.meets(tuned, criterion), rows, scores)


def _measured_interval(criterion: Criterion, answers: Answers, side: str) -> Interval | None:
    texts, measured = answers.of(side), answers.measured.get(side, Measured())
    values = _values(criterion, texts, answers.references, measured) if texts is not None else []
    return median_interval(values) if values else None


def _values(
    criterion: Criterion, texts: Sequence[str], references: Sequence[str], measured: Measured
) -> list[float]:
    unit = str(criterion.options.get("unit", "words"))
    if criterion.metric == checks.LATENCY:
        return measured.latencies
    if criterion.metric == checks.SIZE:
        return [] if measured.size_mb is None else [measured.size_mb]
    if criterion.metric == checks.LENGTH_RATIO:
        pairs = zip(texts, references, strict=True)
        return [length_of(p, "words") / max(length_of(r, "words"), 1) for p, r in pairs]
    if criterion.metric == checks.LENGTH and unit == "tokens":
        return [float(count) for count in measured.tokens]
    return [float(length_of(text, unit)) for text in texts]


# --- beside the scores --------------------------------------------------------------------------


def best_baseline(answers: Answers, scorer: Scorer, op: str = ">=") -> shapes.Baseline:
    """Return the best way to answer without a model: the commonest answer every time, the input
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


def worst_first(answers: Answers, scorer: Scorer) -> list[shapes.AnsweredRow]:
    """Return the rows by the tuned model's score; among equals, where the base did better."""
    sides = {side: texts for side in SIDES if (texts := answers.of(side)) is not None}
    scores = {side: scorer.of_rows(texts, answers.references) for side, texts in sides.items()}
    rows = [_answered(answers, scores, index) for index in range(len(answers.references))]
    return sorted(rows, key=lambda row: (row["tuned_score"], -row["base_score"], row["index"]))


def _answered(answers: Answers, scores: dict[str, list[float]], index: int) -> shapes.AnsweredRow:
    row: shapes.AnsweredRow = {
        "index": index,
        "input": answers.inputs[index],
        "reference": answers.references[index],
        "base": answers.base[index],
        "tuned": answers.tuned[index],
        "base_score": scores["base"][index],
        "tuned_score": scores["tuned"][index],
    }
    if answers.live is not None:
        row["live"], row["live_score"] = answers.live[index], scores["live"][index]
    return row
