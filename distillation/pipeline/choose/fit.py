"""Does a source serve: is its way from input to answer that of the user's examples?

    fits = rank_sources(requirement.examples, {"tldr": rows, …}, intent, scorer, embedder)

Nearness of topic is not service. A small base model is shown a few rows of the source, those whose
inputs are nearest to the user's, and says how likely it then finds the user's own answers. Three
numbers around it make that a test:

- without rows: any gain is measured from there;
- after the user's other examples: what rows that do serve would gain. `gain` is the source's part
  of it: 1 is as good as the user's own pairs, 0 no better than nothing;
- after the same rows with their answers exchanged: what is lost then was the relation between
  input and answer and not only the look of the answers.

Measured on 24 requirements with rows of their own, of the corpus and of one another: rows that
serve gain 0.7 and more, others 0.0 ± 0.3 and at most 0.5 where only the language of the answers
was right.
Try it: pytest distillation/tests/pipeline/choose/test_fit.py
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from distillation.pipeline.choose.filters import Shape
from distillation.pipeline.text import input_key
from distillation.pipeline.types import Example, IntentSpec, TextEmbedder, Vectors
from distillation.pipeline.understand.label_map import propose_label_map
from distillation.pipeline.understand.labels import is_label, label_key
from distillation.pipeline.understand.task_kind import json_object

SERVES, RELATED, UNTESTED = "serves", "related", "untested"
MIN_EXAMPLES = 2  # one says how an answer looks, not how it depends on its input
MIN_GAIN = 0.5  # between the rows that serve and the others of the measurement above
LEAST_OWN_GAIN = 0.3  # nats a token: where the user's own pairs help less, noise is no yardstick
MIN_RELATION = -0.1  # nats a token; below, exchanged answers do better than the source's own
MIN_FITTING = 0.05  # of a source's answers must have the wanted form
MIN_LABELS = 0.5  # of the user's labels must have rows
MIN_KEYS = 0.5  # of the user's JSON keys must have values
SHOWN_PER_EXAMPLE = 2
MOST_SHOWN = 10
MOST_EXAMPLES = 5
INPUT_CHARS, ANSWER_CHARS = 600, 400
SAMPLES = 3

Pair = tuple[str, str]


class AnswerScorer(Protocol):
    def nats_per_token(self, shown: Sequence[Pair], questions: Sequence[Pair]) -> list[float]:
        """For each question the mean negative log-likelihood of its answer after `shown`."""


@dataclass(frozen=True)
class SourceFit:
    """What the test found of one source, and the sentence that says it."""

    name: str
    verdict: str  # SERVES, RELATED or UNTESTED
    reason: str
    gain: float | None = None  # of what the user's own pairs gain; None: not tested
    relation: float | None = None  # nats a token lost when answers are exchanged
    form: float = 0.0  # share of its answers that have the wanted form
    covered: float = 1.0  # share of the user's labels or keys that it has
    samples: tuple[Example, ...] = ()

    @property
    def order(self) -> tuple[int, float]:
        rank = (SERVES, UNTESTED, RELATED).index(self.verdict)
        return (rank, -(self.gain or 0.0) - 2 * self.covered * bool(self.form))


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
    own = list(examples[:MOST_EXAMPLES])
    test = None
    if scorer is not None and len(own) >= MIN_EXAMPLES:
        test = _Test(own, embedder.embed([row.input for row in own]), scorer)
    fits = [_fit(source, intent, test, embedder) for source in sources]
    return sorted(fits, key=lambda fit: (*fit.order, fit.name))


def _fit(
    source: SourceRows, intent: IntentSpec, test: "_Test | None", embedder: TextEmbedder
) -> SourceFit:
    answers = _answers(source, intent, embedder)
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
    if test is None:
        return replace(fit, verdict=UNTESTED, reason="not tested: give two examples")
    fitting = SourceRows(
        source.name,
        [Example(source.pairs[i].input, answers[i]) for i in places],
        source.vectors[places],
    )
    return _judged(fit, *test.of(fitting))


def _judged(fit: SourceFit, gain: float, relation: float, shown: Sequence[Pair]) -> SourceFit:
    samples = tuple(Example(*pair) for pair in shown[:SAMPLES]) or fit.samples
    fit = replace(fit, gain=round(gain, 3), relation=round(relation, 3), samples=samples)
    if gain < MIN_GAIN:
        part = f"{max(0.0, gain):.0%} as much as your own examples do"
        return replace(fit, reason=f"its rows help to find your answers {part}")
    if relation < MIN_RELATION:
        return replace(fit, reason="its answers do not depend on their inputs as yours do")
    reason = f"its rows help to find your answers {gain:.0%} as much as your own examples do"
    return replace(fit, verdict=SERVES, reason=reason)


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
    if intent.task_kind == "classify" and fit.covered < MIN_LABELS:
        return f"it has {fit.covered:.0%} of your labels"
    if intent.task_kind == "extract_json" and fit.covered < MIN_KEYS:
        return f"it has {fit.covered:.0%} of your JSON keys"
    if intent.task_kind == "generate" and are_labels(answers):
        return "its answers are labels, yours are written text"
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


class _Test:
    """The user's examples as questions; what they score alone and after one another."""

    def __init__(self, examples: Sequence[Example], vectors: Vectors, scorer: AnswerScorer) -> None:
        self._vectors = vectors
        self._scorer = scorer
        self._keys = {input_key(row.input) for row in examples}
        self._questions = [_short(row) for row in examples]
        self._without = _mean(scorer.nats_per_token([], self._questions))
        self._own = _mean(
            [
                scorer.nats_per_token(
                    [q for q in self._questions if q is not question], [question]
                )[0]
                for question in self._questions
            ]
        )

    def of(self, source: SourceRows) -> tuple[float, float, list[Pair]]:
        """Return gain, relation, and the rows that were shown."""
        shown = self._nearest(source)
        if not shown:
            return 0.0, 0.0, []
        after = _mean(self._scorer.nats_per_token(shown, self._questions))
        exchanged = _mean(self._scorer.nats_per_token(_exchanged(shown), self._questions))
        scale = max(self._without - self._own, LEAST_OWN_GAIN)
        return (self._without - after) / scale, exchanged - after, shown

    def _nearest(self, source: SourceRows) -> list[Pair]:
        """For each example the rows nearest to its input: each one's first, then the second."""
        order = np.argsort(-(self._vectors @ source.vectors.T), axis=1, kind="stable")
        taken: dict[int, None] = {}
        for _ in range(SHOWN_PER_EXAMPLE):
            for ranked in order:
                place = next((int(i) for i in ranked if self._is_new(int(i), source, taken)), None)
                if place is not None:
                    taken[place] = None
        return [_short(source.pairs[place]) for place in list(taken)[:MOST_SHOWN]]

    def _is_new(self, place: int, source: SourceRows, taken: Mapping[int, None]) -> bool:
        """Whether a row is not taken, and not one of the examples themselves."""
        return place not in taken and input_key(source.pairs[place].input) not in self._keys


def _exchanged(shown: Sequence[Pair]) -> list[Pair]:
    """Give each input the answer of another one, so that as many as possible are others."""
    answers = [answer for _, answer in shown]
    turns = [answers[by:] + answers[:by] for by in range(1, max(2, len(answers)))]

    def changed(turn: Sequence[str]) -> int:
        return sum(a != b for a, b in zip(turn, answers, strict=True))

    turned = max(turns, key=changed)
    return [(text, answer) for (text, _), answer in zip(shown, turned, strict=True)]


def _short(row: Example) -> Pair:
    return (_head(row.input, INPUT_CHARS), _head(row.output, ANSWER_CHARS))


def _head(text: str, limit: int) -> str:
    return text.strip()[:limit]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
