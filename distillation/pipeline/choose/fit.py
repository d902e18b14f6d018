"""Does a source serve: is its way from input to answer that of the user's examples?

    fits = rank_sources(requirement.examples, {"tldr": rows, …}, intent, scorer, embedder)

Nearness of topic is not service. A small base model is shown a few rows of the source, those whose
inputs are nearest to the user's, and says how likely it then finds the user's own answers. Three
more numbers make that a test:

- without rows: any gain is measured from there;
- after the user's other examples: what rows that do serve would gain. `gain` is the source's part
  of it: 1 is as good as the user's own pairs, 0 no better than nothing;
- after the same rows with their answers exchanged: what is lost then is the relation between input
  and answer, and not only the look of the answers. It is shown, not judged by: where all answers
  are of one kind (a language, commands) it is small although they serve.

Labels are another matter: each example shows another one, so that they say nothing of each other.
There the labels must be covered, and rows near to an example must have its label.
Try it: pytest distillation/tests/pipeline/choose/test_fit.py
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from distillation.pipeline.choose.filters import Shape
from distillation.pipeline.choose.source_fit import RELATED, SERVES, UNSURE, UNTESTED, SourceFit
from distillation.pipeline.text import input_key
from distillation.pipeline.types import AnswerScorer, Example, IntentSpec, TextEmbedder, Vectors
from distillation.pipeline.understand.label_map import propose_label_map
from distillation.pipeline.understand.labels import is_label, label_key
from distillation.pipeline.understand.task_kind import json_object

MIN_EXAMPLES = 2  # one says how an answer looks, not how it depends on its input
# Measured on some eighty sets of rows beside the examples of sixty requirements: rows that serve
# gain 0.8 to 1.9, others 0.0 ± 0.3, and up to 0.7 where their answers are sentences of one style.
MIN_GAIN = 0.75
UNSURE_GAIN = 0.5  # from here on the description of a source has the last word
LEAST_OWN_GAIN = 0.3  # nats a token: where the user's own pairs help less, noise is no yardstick
MIN_FITTING = 0.05  # of a source's answers must have the wanted form
MIN_LABELS = 0.5  # of the user's labels must have rows
MIN_KEYS = 0.5  # of the user's JSON keys must have values
NEIGHBOURS = 12  # rows that vote for the label of an example
# Times chance that they vote for the right one. By chance of four examples it is 0.8 to 1.2.
MIN_LIFT, UNSURE_LIFT = 1.25, 0.8
SHOWN_PER_EXAMPLE = 2
MOST_EXAMPLES = 5
INPUT_CHARS, ANSWER_CHARS = 400, 300
SAMPLES = 3

Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class SourceRows:
    """Rows of one source in the model's form, and the vectors of their inputs."""

    name: str
    pairs: Sequence[Example]
    vectors: Vectors


def rank_sources(
    examples: Sequence[Example],
    sources: Mapping[str, Sequence[Example]],
    intent: IntentSpec,
    scorer: AnswerScorer | None,
    embedder: TextEmbedder,
) -> list[SourceFit]:
    """Test each source by its rows, best first. A hundred rows of each are enough."""
    given = [
        SourceRows(name, pairs, embedder.embed([pair.input for pair in pairs]))
        for name, pairs in sources.items()
        if pairs
    ]
    return measure_sources(examples, given, intent, scorer, embedder)


def measure_sources(
    examples: Sequence[Example],
    sources: Sequence[SourceRows],
    intent: IntentSpec,
    scorer: AnswerScorer | None,
    embedder: TextEmbedder,
) -> list[SourceFit]:
    """Do the same with rows whose vectors are known."""
    own = tuple(examples[:MOST_EXAMPLES])
    questions = Questions(own, embedder.embed([row.input for row in own]), scorer)
    fits = [_fit(source, intent, questions, embedder) for source in sources]
    return sorted(fits, key=lambda fit: (*fit.order, fit.name))


def _fit(
    source: SourceRows, intent: IntentSpec, questions: "Questions", embedder: TextEmbedder
) -> SourceFit:
    answers = _answers(source, intent, embedder)
    # An open set of labels or keys is not known to the last one yet.
    shape = Shape(intent if intent.labels_closed else replace(intent, labels=(), json_keys=()))
    places = [i for i, answer in enumerate(answers) if answer and shape.fits(answer)]
    fit = SourceFit(
        source.name,
        RELATED,
        "",
        form=round(len(places) / len(answers), 3),
        covered=round(coverage(intent, [answers[i] for i in places]), 3),
        samples=tuple(source.pairs[:SAMPLES]),
    )
    if reason := _wrong_form(fit, intent, [row.output for row in source.pairs]):
        return replace(fit, reason=reason)
    fit = replace(fit, right_form=True)
    fitting = SourceRows(
        source.name,
        [Example(source.pairs[i].input, answers[i]) for i in places],
        source.vectors[places],
    )
    if intent.task_kind == "classify":
        return _by_labels(fit, intent, questions, fitting)
    if intent.task_kind == "number":
        return replace(fit, verdict=UNTESTED, reason="fit: not tested, for numbers are worked out")
    return _by_likelihood(fit, questions, fitting)


def _by_labels(
    fit: SourceFit, intent: IntentSpec, questions: "Questions", rows: SourceRows
) -> SourceFit:
    if not questions.examples:
        return replace(fit, verdict=UNTESTED, reason=NOT_TESTED)
    lift = questions.label_lift(rows)
    fit = replace(fit, relation=round(lift, 3), samples=tuple(questions.nearest(rows)[:SAMPLES]))
    if lift < UNSURE_LIFT:
        reason = "of its rows that are nearest to your examples, few have their labels"
        return replace(fit, reason=reason)
    reason = (
        f"its rows nearest to your examples have their labels {lift:.1f} times as often as others"
    )
    return replace(fit, verdict=SERVES if lift >= MIN_LIFT else UNSURE, reason=reason)


NOT_TESTED = "fit: not tested, give two examples"
NO_SCORER = "fit: not tested, the base model that tests it is not on this machine"


def _by_likelihood(fit: SourceFit, questions: "Questions", rows: SourceRows) -> SourceFit:
    if not questions.can_test:
        few = len(questions.examples) < MIN_EXAMPLES
        return replace(fit, verdict=UNTESTED, reason=NOT_TESTED if few else NO_SCORER)
    shown = questions.nearest(rows)
    gain = questions.gain(shown)
    part = f"{max(0.0, gain):.0%} as much as your own examples do"
    fit = replace(
        fit,
        verdict=SERVES if gain >= MIN_GAIN else UNSURE if gain >= UNSURE_GAIN else RELATED,
        reason=f"its rows help to find your answers {part}",
        gain=round(gain, 3),
        samples=tuple(shown[:SAMPLES]),
    )
    if fit.verdict == RELATED:
        return fit
    return replace(fit, relation=round(questions.relation(shown), 3))


def _answers(source: SourceRows, intent: IntentSpec, embedder: TextEmbedder) -> list[str]:
    """In the user's labels where the set is closed; '' where one has no place in it."""
    answers = [row.output.strip() for row in source.pairs]
    if intent.task_kind != "classify" or not intent.labels_closed:
        return answers
    counts = {source.name: Counter(answer for answer in answers if is_label(answer))}
    lines = propose_label_map(counts, intent.labels, intent.label_rules, embedder.embed)
    mapped = {label_key(line.label): line.mapped_to for line in lines}
    return [mapped.get(label_key(answer), "") for answer in answers]


def coverage(intent: IntentSpec, answers: Sequence[str]) -> float:
    """Return which share of the user's labels or JSON keys these answers have; 1 without any."""
    if intent.task_kind == "classify":
        wanted = {label_key(label) for label in intent.labels}
        given = {label_key(answer) for answer in answers}
    else:
        wanted = set(intent.json_keys)
        given = {key for answer in answers for key in (json_object(answer) or {})}
    return len(wanted & given) / len(wanted) if wanted else 1.0


def _wrong_form(fit: SourceFit, intent: IntentSpec, answers: Sequence[str]) -> str:
    """Say what of the answers' form rules the source out; '' when nothing does."""
    if intent.task_kind == "generate" and are_labels(answers):
        return "its answers are labels, yours are written text"
    if intent.task_kind == "classify" and not are_labels(answers):
        return "its answers are written text, yours are labels"
    if intent.task_kind == "classify" and fit.covered < MIN_LABELS:
        return f"it has {fit.covered:.0%} of your labels"
    if intent.task_kind == "extract_json" and fit.covered < MIN_KEYS:
        return f"it has {fit.covered:.0%} of your JSON keys"
    if fit.form < MIN_FITTING:
        return "its answers have another form than yours"
    return ""


def are_labels(answers: Sequence[str]) -> bool:
    """Whether these are labels: short, and given again and again or spelt as identifiers."""
    if not answers or sum(map(is_label, answers)) < 0.8 * len(answers):
        return False
    counts = Counter(map(label_key, answers))
    repeated = sum(n for n in counts.values() if n > 1) / len(answers)
    named = sum("_" in answer for answer in answers) / len(answers)
    return len(counts) < len(answers) and (repeated >= 0.5 or named >= 0.5)


class Questions:
    """The user's examples, put to the rows of a source."""

    def __init__(
        self, examples: tuple[Example, ...], vectors: Vectors, scorer: AnswerScorer | None
    ) -> None:
        self.examples = examples
        self._vectors = vectors
        self._scorer = scorer
        self._keys = {input_key(row.input) for row in examples}
        self._pairs = [_short(row) for row in examples]
        self._without: float | None = None
        self._own = 0.0

    @property
    def can_test(self) -> bool:
        return self._scorer is not None and len(self.examples) >= MIN_EXAMPLES

    def gain(self, shown: Sequence[Example]) -> float:
        """Return how far `shown` go, of the way that the user's own pairs go."""
        if self._scorer is None or not shown:
            return 0.0
        if self._without is None:
            self._without, self._own = self._yardstick(self._scorer)
        scale = max(self._without - self._own, LEAST_OWN_GAIN)
        return (self._without - self._after([_short(row) for row in shown])) / scale

    def relation(self, shown: Sequence[Example]) -> float:
        """Return how many nats a token are lost when the answers of `shown` are exchanged."""
        pairs = [_short(row) for row in shown]
        return self._after(_exchanged(pairs)) - self._after(pairs)

    def _after(self, pairs: Sequence[Pair]) -> float:
        return _mean(self._scorer.nats_per_token(pairs, self._pairs)) if self._scorer else 0.0

    def _yardstick(self, scorer: AnswerScorer) -> tuple[float, float]:
        """Return the examples' nats without anything, and each one's after all the others."""
        own = []
        for place, question in enumerate(self._pairs):
            others = [*self._pairs[:place], *self._pairs[place + 1 :]]
            own += scorer.nats_per_token(others, [question])
        return _mean(scorer.nats_per_token([], self._pairs)), _mean(own)

    def label_lift(self, rows: SourceRows) -> float:
        """Return how many times likelier than by chance a near row has the example's label.

        By chance: as likely as in all rows that are looked at, labels as frequent as they are.
        """
        given = np.array([label_key(row.output) for row in rows.pairs])
        order = self._order(rows)
        lifts = []
        for example, ranked in zip(self.examples, order, strict=True):
            new = [place for place in ranked if self._is_new(rows.pairs[place])][:NEIGHBOURS]
            right = given == label_key(example.output)
            if right.any() and new:
                lifts.append(float(right[new].mean() / right.mean()))
            else:
                lifts.append(0.0)
        return _mean(lifts)

    def nearest(self, rows: SourceRows) -> list[Example]:
        """For each example the rows nearest to its input: each one's first, then the second."""
        order = self._order(rows)
        taken: dict[int, None] = {}
        for _ in range(SHOWN_PER_EXAMPLE):
            for ranked in order:
                new = (i for i in ranked if i not in taken and self._is_new(rows.pairs[i]))
                if (place := next(new, None)) is not None:
                    taken[place] = None
        return [rows.pairs[place] for place in taken]

    def _order(self, rows: SourceRows) -> list[list[int]]:
        cosines = self._vectors @ rows.vectors.T
        order: list[list[int]] = np.argsort(-cosines, axis=1, kind="stable").tolist()
        return order

    def _is_new(self, row: Example) -> bool:
        """Whether a row is not one of the examples themselves."""
        return input_key(row.input) not in self._keys


def _exchanged(shown: Sequence[Pair]) -> list[Pair]:
    """Give each input the answer of another one, so that as many as possible are others."""
    answers = [answer for _, answer in shown]
    turns = [answers[by:] + answers[:by] for by in range(1, max(2, len(answers)))]

    def changed(turn: Sequence[str]) -> int:
        return sum(a != b for a, b in zip(turn, answers, strict=True))

    turned = max(turns, key=changed)
    return [(text, answer) for (text, _), answer in zip(shown, turned, strict=True)]


def _short(row: Example) -> Pair:
    return (row.input.strip()[:INPUT_CHARS], row.output.strip()[:ANSWER_CHARS])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
