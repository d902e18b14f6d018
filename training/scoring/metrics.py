"""Every metric, stated once: its name, its words, how a sentence names it, how it is computed and
for which tasks. A new metric is one entry of METRICS.

Pages, forms, API, criteria and the evaluation read this table. Most metrics grade each row and
average (`mean_of`); the others are of the whole set alone (`micro_f1_of`, `macro_of`, `least_of`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from distillation.pipeline.types import TASK_KINDS
from training.scoring import pairs, scorers
from training.scoring.scorers import Scorer, macro_of, mean_of, micro_f1_of
from training.scoring.sql import Fixture, names_tables

CLASSIFY, SQL = ("classify",), ("sql",)


class Options(TypedDict, total=False):
    """What a criterion may say beside its metric and its bound."""

    answer: str
    label: str
    labels: list[str] | None
    least: int
    most: int
    pattern: str
    schema: Mapping[str, Any]
    unit: str


class MetricError(ValueError):
    """A metric that cannot be measured as requested; the message is a sentence for the user."""


@dataclass(frozen=True)
class Given:
    """What a metric may depend upon beside the answers."""

    options: Options = field(default_factory=Options)
    references: Sequence[str] = ()
    fixtures: Sequence[Fixture | None] = ()


@dataclass(frozen=True)
class Metric:
    """`words` complete "Passes when … is at least …"; `{label}` in them stands for that option.

    `pattern` is how a sentence names it. `task_kinds` are those it can be measured for (empty:
    all), `default_for` those that it is chosen for. `reads` says whether a reference can be graded
    against; a row of another is left out. A metric that needs an `option`, of which less is better,
    or that looks at the answers' form alone can be a criterion, and not the metric that a model is
    compared by.
    """

    words: str
    build: Callable[[Given], Scorer]
    pattern: str = ""
    task_kinds: tuple[str, ...] = ()
    default_for: tuple[str, ...] = ()
    option: str = ""
    less_is_better: bool = False
    needs_tables: bool = False
    of_form: bool = False
    reads: Callable[[str], bool] | None = None

    @property
    def is_share(self) -> bool:
        """A share of the rows reads as per cent, another score as a plain number."""
        return self.words.startswith("the share")


# The first pattern that occurs in a sentence names the metric: the particular ones come first.
METRICS: dict[str, Metric] = {
    "known_label": Metric(
        "the share of answers that are one of the known labels",
        lambda given: scorers.known_label(given.options.get("labels") or given.references),
        r"one of the (known|allowed|listed|given)? ?(label|topic|class|categor|intent|value)"
        r"|(un)?(known|allowed|valid|invented) (label|topic|class|categor|intent)",
        CLASSIFY,
        of_form=True,
    ),
    "regex": Metric(
        "the share of answers that match the pattern {pattern}",
        lambda given: scorers.regex(given.options["pattern"]),
        r"last line .*####|#### form",
        option="pattern",
        of_form=True,
    ),
    "execution_accuracy": Metric(
        "the share of SQL answers that give the same rows as the reference when both are executed",
        lambda given: scorers.execution_accuracy(given.fixtures),
        r"\bexecut",
        SQL,
        needs_tables=True,
    ),
    "sql_parses": Metric(
        "the share of answers that SQLite reads as one statement",
        lambda _: mean_of(pairs.sql_parses),
        r"parses? (in|as|with) (sqlite|sql)|(in)?valid sql",
        SQL,
        of_form=True,
        reads=pairs.is_sql,
    ),
    "macro_recall": Metric(
        "recall per label, averaged over the labels",
        lambda _: macro_of(scorers.recall_of_labels),
        r"macro[- ]?recall|balanced accuracy",
        CLASSIFY,
    ),
    "macro_f1": Metric(
        "F1 per label, averaged over the labels",
        lambda _: macro_of(scorers.f1_of_labels),
        r"macro[- ]?f1",
        CLASSIFY,
    ),
    "rougeL_f1": Metric(
        "ROUGE-L F1 against the reference, averaged over the rows",
        lambda _: mean_of(pairs.rouge_l_f1),
        r"rouge[- ]?l",
        default_for=("generate",),
        reads=pairs.has_latin_words,
    ),
    "chrf": Metric(
        "chrF, the overlap of character sequences with the references (0 to 1)",
        lambda _: scorers.chrf(),
        r"\bchr-?f\b",
        reads=pairs.has_words,
    ),
    "entity_f1": Metric(
        "F1 over all (type, name) pairs of all answers",
        lambda _: micro_f1_of(pairs.entities),
        r"(entity|entities|ner)\b.*f1|f1 .*entit",
        reads=lambda reference: pairs.entities(reference) is not None,
    ),
    "field_f1": Metric(
        "F1 over all fields of all JSON answers",
        lambda _: micro_f1_of(pairs.fields),
        r"field[- ]?f1",
        reads=lambda reference: pairs.fields(reference) is not None,
    ),
    "token_f1": Metric(
        "F1 over the words of an answer and its reference, averaged over the rows",
        lambda _: mean_of(pairs.token_f1),
        r"token[- ]?f1|word[- ]?f1",
        reads=pairs.has_words,
    ),
    "json_valid": Metric(
        "the share of answers that are valid JSON and nothing else",
        lambda _: mean_of(pairs.json_valid),
        r"(in)?valid json|parses? as json|well-formed json|json is (in)?valid|broken json",
        of_form=True,
        reads=pairs.is_json,
    ),
    "json_equal": Metric(
        "the share of answers that hold the same JSON values as the reference",
        lambda _: mean_of(pairs.json_equal),
        r"(equal|identical|same|exact|match\w*) json|json .*(equal|identical|match)",
        default_for=("extract_json",),
        reads=pairs.is_json,
    ),
    "first_token_match": Metric(
        "the share of answers whose first word is that of the reference",
        lambda _: mean_of(pairs.first_token_match),
        r"first (word|token)",
        reads=pairs.has_words,
    ),
    "final_number_match": Metric(
        "the share of answers whose final number is that of the reference",
        lambda _: mean_of(pairs.final_number_match),
        r"final (number|answer|result)|right number",
        default_for=("number",),
        reads=pairs.has_number,
    ),
    "number_match": Metric(
        "the share of answers whose last number is that of the reference",
        lambda _: mean_of(pairs.number_match),
        r"last number",
        reads=pairs.has_number,
    ),
    "contains": Metric(
        "the share of answers that contain the reference",
        lambda _: mean_of(pairs.contains),
        r"contains? (the )?(right|correct|expected|reference)",
        reads=pairs.has_words,
    ),
    "refusal": Metric(
        "the share of answers that refuse to answer",
        lambda _: mean_of(pairs.refusal),
        r"\brefus(e|es|als?)\b",
        less_is_better=True,
        of_form=True,
    ),
    "empty": Metric(
        "the share of answers that are empty",
        lambda _: mean_of(lambda prediction, _: float(not prediction.strip())),
        r"\bempty (answer|repl|respons)|(answer|repl|respons)\w* (is|are) empty",
        less_is_better=True,
        of_form=True,
    ),
    "exact_match": Metric(
        "the share of answers that are exactly the reference (case and outer space apart)",
        lambda _: mean_of(pairs.exact_match),
        r"exact(ly)?[- ](the )?(same|match|right|correct|label)|accura|correct|right answers?"
        r"|\bwrong\b|\berrors?\b|answers? (is|are) right|answered right",
        default_for=("classify", "sql"),
    ),
    # These are named as they stand here, or by rules of their own in sentences.py.
    "least_recall": Metric(
        "recall of the label with the lowest recall",
        lambda _: scorers.least_of(scorers.recall_of_labels),
        task_kinds=CLASSIFY,
    ),
    "least_f1": Metric(
        "F1 of the label with the lowest F1",
        lambda _: scorers.least_of(scorers.f1_of_labels),
        task_kinds=CLASSIFY,
    ),
    "json_schema": Metric(
        "the share of answers that fit the given JSON schema",
        lambda given: scorers.json_schema(given.options["schema"]),
        option="schema",
        of_form=True,
    ),
    "answer_share": Metric(
        "the share of answers that are “{answer}”",
        lambda given: scorers.answer_share(given.options["answer"]),
        option="answer",
        of_form=True,
    ),
    "label_recall": Metric(
        "the share of the rows of label “{label}” that are answered so",
        lambda given: scorers.label_rate(given.options["label"], among="references"),
        option="label",
    ),
    "label_precision": Metric(
        "the share of the answers “{label}” that are right",
        lambda given: scorers.label_rate(given.options["label"], among="answers"),
        option="label",
    ),
    "length_within": Metric(
        "the share of answers that have {limits}",
        lambda given: scorers.length_within(
            given.options.get("least", 0), given.options.get("most", inf), given.options["unit"]
        ),
        option="unit",
        of_form=True,
    ),
}
METRICS["accuracy"] = replace(
    METRICS["exact_match"],
    words="the share of answers that are right: exact_match by its other name",
    pattern="",
    default_for=(),
)
MODEL_METRICS = sorted(
    name
    for name, metric in METRICS.items()
    if not (metric.option or metric.less_is_better or metric.of_form)
)


def metric_named(name: str, known: Sequence[str] = tuple(sorted(METRICS))) -> Metric:
    """Return a metric of the table. MetricError, naming those that are `known`, for another."""
    if name in METRICS:
        return METRICS[name]
    raise MetricError(f"Unknown metric {name!r}. Known are: {', '.join(known)}.")


def build_scorer(
    name: str, options: Options, references: Sequence[str], fixtures: Sequence[Fixture | None] = ()
) -> Scorer:
    """Return the scorer of a metric. MetricError for an unknown one, and for one that executes SQL
    where no tables were looked for.
    """
    metric = metric_named(name)
    if metric.needs_tables and not fixtures:
        raise MetricError(f"The metric {name} needs tables to execute answers on.")
    scorer = metric.build(Given(options, references, fixtures))
    return scorers.of_readable(scorer, metric.reads) if metric.reads else scorer


# --- the metric of a model ----------------------------------------------------------------------


def default_metric(task_kind: str) -> str:
    chosen = (name for name, metric in METRICS.items() if task_kind in metric.default_for)
    return next(chosen, "rougeL_f1")


def model_metric(name: str) -> Metric:
    """Return the metric that a model may be compared by; MetricError says why another may not."""
    metric = metric_named(name, MODEL_METRICS)
    if metric.option:
        raise MetricError(f"{name} needs its {metric.option}: write it as a success criterion.")
    if metric.less_is_better:
        raise MetricError(f"Less of {name} is better: write it as a success criterion.")
    return metric


def unreadable(name: str, references: Sequence[str]) -> str:
    """Say that a metric can read none of these answers, if so; empty where it reads one."""
    metric = METRICS.get(name)
    if not metric or not metric.reads or not references or any(map(metric.reads, references)):
        return ""
    return (
        f"{name} measures {metric.words}, and can read no answer of the held-out rows, such as "
        f"“{references[0][:60]}”."
    )


def objection_to_metric(
    name: str, task_kind: str, inputs: Sequence[str], references: Sequence[str] = ()
) -> str:
    """Say why a metric does not suit a kind of task, or the user's held-out rows (none where they
    come from the dataset); empty where it does.
    """
    metric = model_metric(name)
    if metric.of_form:
        return f"{name} looks at the form of answers alone: write it as a success criterion."
    if metric.task_kinds and task_kind not in metric.task_kinds:
        kinds = " or ".join(f"“{TASK_KINDS[kind]}”" for kind in metric.task_kinds)
        return (
            f"{name} can be measured for tasks of the kind {kinds}, and this one is understood as "
            f"“{TASK_KINDS.get(task_kind, task_kind)}”."
        )
    if metric.needs_tables and inputs and not any(map(names_tables, inputs)):
        return (
            f"{name} executes SQL, and no held-out row has tables: write CREATE TABLE and INSERT "
            "INTO into its input, or the one table with its columns."
        )
    return unreadable(name, references)
