"""The report of an evaluation as it is written to report.json, kept in rows, and read by pages.

Keys may be missing in reports of earlier releases: pages read them with `get`.
"""

from typing import NotRequired, TypedDict


class Score(TypedDict):
    """A score, or the median of a quantity, with its 95 % interval where there is one."""

    score: float
    low: NotRequired[float]
    high: NotRequired[float]


class Baseline(Score):
    """The best of the ways to answer without a model, and the scores of `all` of them."""

    name: str
    all: dict[str, float]


class GenerationFacts(TypedDict, total=False):
    seconds: float
    answer_tokens: int
    cut_off: int
    tokens_per_second: float
    asked: int
    cached: bool
    latency: float | None
    size_mb: float


class SideResult(Score, GenerationFacts):
    """One model's score on the metric of the run, and how its answers came about."""


class LiveResult(SideResult):
    name: str
    difference: Score


class RivalResult(Score):
    """Something simpler: its score on the metric of the run, how much more the model scores
    (`difference`), and what an answer costs.
    """

    name: str
    difference: Score
    milliseconds: float
    size_mb: float


class CriterionResult(TypedDict, total=False):
    metric: str
    of: str
    op: str
    value: float
    unit: str
    score: float | None
    tuned: Score | None
    base: Score | None
    live: Score | None
    baseline: Baseline | None
    rows: int
    outcome: str
    passed: bool
    asked: str
    words: str
    sentence: str


class ConfusionTable(TypedDict):
    """counts[i][j] rows of labels[i] were answered labels[j]."""

    labels: list[str]
    counts: list[list[int]]


class FieldLine(TypedDict):
    field: str
    support: int
    precision: float
    recall: float
    f1: float
    base_f1: float
    examples: list[dict[str, int | list[str]]]


class ProbeReport(TypedDict, total=False):
    n: int
    base: Score
    tuned: Score
    forgetting: Score
    kinds: list[dict[str, str | int]]
    note: str
    rows: list[dict[str, str | bool]]


class EvaluationResult(TypedDict, total=False):
    """What the child reports; the database keeps parts of it."""

    metric: str
    n_test: int
    base: SideResult
    tuned: SideResult
    difference: Score
    live: LiveResult | None
    verdict: str
    criteria: list[CriterionResult]
    unread_criteria: list[str]
    baseline: Baseline
    rivals: list[RivalResult]
    note: str
    probes: ProbeReport | None


class Report(EvaluationResult, total=False):
    """With the tables that stay in the folder."""

    confusion: ConfusionTable | None
    fields: list[FieldLine] | None
    max_tokens: int
    doubtful_rows: int  # held out, and likely of a wrong label
    system_prompt: str
    base_system_prompt: str  # where the base was told more: all labels or keys


class AnsweredRow(TypedDict):
    """A line of rows.jsonl."""

    index: int
    input: str
    reference: str
    base: str
    tuned: str
    base_score: float
    tuned_score: float
    live: NotRequired[str]
    live_score: NotRequired[float]
