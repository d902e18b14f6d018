"""Which data sets of the hub serve, judged by their first rows and not by their names.

First all of them without a model of language: how near the rows come to the user's examples, in
input, in answer, and both at once. Then the likeliest by the same test as the sources of the corpus
(`pipeline.choose.fit`), and by whether like inputs have like answers at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from distillation.pipeline.choose.fit import rank_sources
from distillation.pipeline.choose.source_fit import RELATED, SERVES, UNSURE, UNTESTED, SourceFit
from distillation.pipeline.types import (
    AnswerScorer,
    Example,
    IntentSpec,
    Requirement,
    TextEmbedder,
    Vectors,
)

TESTED = 12
FIRST_PASS_ROWS = 40
# Measured on 150 rows of sources of nine kinds: theirs 0.075 to 0.43, with answers exchanged 0.03
# at most.
LEAST_RELATION, ENOUGH_ROWS = 0.04, 100
INPUT_CHARS, ANSWER_CHARS = 600, 400
NEAREST = 5


@dataclass(frozen=True)
class Ranked:
    name: str
    fit: SourceFit
    nearness: float
    relation: float  # of its answers to its inputs


def rank(
    requirement: Requirement,
    sources: Mapping[str, Sequence[Example]],
    intent: IntentSpec,
    scorer: AnswerScorer | None,
    embedder: TextEmbedder,
) -> list[Ranked]:
    """Return all sources, best first."""
    embedder = Remembering(embedder)
    sources = {name: [_short(row) for row in rows] for name, rows in sources.items()}
    some = {name: rows[:: max(1, len(rows) // FIRST_PASS_ROWS)] for name, rows in sources.items()}
    near = _nearness(requirement, some, embedder)
    formed = {
        fit.name: fit for fit in rank_sources(requirement.examples, some, intent, None, embedder)
    }
    order = sorted(formed, key=lambda name: (formed[name].verdict == RELATED, -near[name], name))
    likeliest = {name: sources[name] for name in order[:TESTED]}
    near |= _nearness(requirement, likeliest, embedder)
    held = {name: relation(rows, embedder) for name, rows in likeliest.items()}
    tested = rank_sources(requirement.examples, likeliest, intent, scorer, embedder)
    fits = {name: _passed_over(fit) for name, fit in formed.items()}
    fits |= {fit.name: _doubted(fit, held[fit.name], len(sources[fit.name])) for fit in tested}
    ranked = [Ranked(name, fits[name], near[name], held.get(name, 0.0)) for name in fits]
    return sorted(ranked, key=lambda each: (each.fit.order[0], -_worth(each), each.name))


def _passed_over(fit: SourceFit) -> SourceFit:
    """Say why a data set that is not among the likeliest was not tested."""
    if fit.verdict != UNTESTED:
        return fit
    return replace(fit, reason="not tested, for rows of others are nearer to your examples")


def _doubted(fit: SourceFit, held: float, rows: int) -> SourceFit:
    """Doubt what serves by topic and form while its answers seem to belong to other inputs."""
    if fit.verdict != SERVES or held >= LEAST_RELATION or rows < ENOUGH_ROWS:
        return fit
    why = "like inputs have no like answers in it: they may belong to other inputs"
    return replace(fit, verdict=UNSURE, reason=why)


def _short(row: Example) -> Example:
    """Return as much of it as is compared, so that no text is embedded in two lengths."""
    return Example(row.input[:INPUT_CHARS], row.output[:ANSWER_CHARS])


class Remembering:
    """An embedder that embeds no text twice: rows are compared several times."""

    def __init__(self, embedder: TextEmbedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Vectors] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            self._known |= zip(new, self._embedder.embed(new), strict=True)
        return np.array([self._known[text] for text in texts], dtype=np.float32)


def _worth(each: Ranked) -> float:
    """Among sources of one verdict, what the test says and how near the rows are, together."""
    return -each.fit.order[1] + 2 * each.nearness + 2 * each.relation


def relation(rows: Sequence[Example], embedder: TextEmbedder) -> float:
    """Return how far like inputs have like answers: 1 always, 0 no more than any two rows.

    Rows whose answers belong to other inputs have the topic and the form, and not this.
    """
    inputs = embedder.embed([row.input for row in rows])
    answers = embedder.embed([row.output for row in rows])
    like, alike = inputs @ inputs.T, answers @ answers.T
    others = ~np.eye(len(rows), dtype=bool)
    if len(rows) <= NEAREST:
        return 0.0
    nearest = np.argsort(np.where(others, like, -2), axis=1)[:, -NEAREST:]
    near = float(np.take_along_axis(alike, nearest, axis=1).mean())
    chance = float(alike[others].mean())
    return (near - chance) / max(1 - chance, 1e-6)


def _nearness(
    requirement: Requirement, sources: Mapping[str, Sequence[Example]], embedder: TextEmbedder
) -> dict[str, float]:
    """Return for each source how near its nearest rows are, about -1 to 1."""
    wanted = requirement.examples or (Example(requirement.text, ""),)
    inputs = embedder.embed([row.input[:INPUT_CHARS] for row in wanted])
    answers = embedder.embed([row.output[:ANSWER_CHARS] for row in wanted])
    near = {}
    for name, rows in sources.items():
        asked = inputs @ embedder.embed([row.input for row in rows]).T
        if requirement.examples:
            given = answers @ embedder.embed([row.output for row in rows]).T
            near[name] = (_top(asked) + _top(given) + _top(asked * given)) / 3
        else:
            near[name] = _top(asked)
    return near


def _top(cosines: Vectors) -> float:
    """Return the mean of each example's nearest rows."""
    count = min(NEAREST, cosines.shape[1])
    return float(np.sort(cosines, axis=1)[:, -count:].mean()) if count else -1.0
