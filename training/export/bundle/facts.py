"""What the papers of an export say of the model; plain values that travel as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Self

from pydantic import JsonValue, TypeAdapter

from distillation.pipeline.card import CardFacts, CardSource


@dataclass(frozen=True)
class BaseFacts:
    name: str
    hub_id: str
    revision: str
    license: str


@dataclass(frozen=True)
class DatasetFacts:
    digest: str = ""
    splits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CriterionOutcome:
    sentence: str
    outcome: str = ""  # empty in evaluations from before there were three: then `passed` says it
    passed: bool = False
    metric: str = ""


@dataclass(frozen=True)
class Score:
    score: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class RivalScore(Score):
    """Something simpler, trained on the same rows."""

    name: str = ""
    milliseconds: float = 0.0
    size_mb: float = 0.0


@dataclass(frozen=True)
class EvaluationFacts:
    metric: str | None = None
    n_test: int = 0
    base: Score | None = None
    tuned: Score | None = None
    rivals: Sequence[RivalScore] = ()

    @classmethod
    def from_scores(cls, scores: Mapping[str, JsonValue] | None) -> Self | None:
        """Read those of a version; None where it was not evaluated."""
        is_measured = scores and scores.keys() & {field.name for field in fields(cls)}
        return TypeAdapter(cls).validate_python(scores) if is_measured else None


@dataclass(frozen=True)
class ModelFacts:
    title: str
    requirement: str
    system_prompt: str
    base: BaseFacts
    config: Mapping[str, JsonValue]
    dataset: DatasetFacts = DatasetFacts()
    sources: Sequence[CardSource] = ()
    criteria: Sequence[CriterionOutcome] = ()
    verdict: str = ""
    evaluation: EvaluationFacts | None = None
    language: str = ""
    objective: str = ""
    policy: str = ""
    trained: Mapping[str, JsonValue] = field(default_factory=dict)  # steps, tokens, device …

    @property
    def data(self) -> CardFacts:
        """The part that the cards of dataset and model share."""
        digest, splits = self.dataset.digest, self.dataset.splits
        return CardFacts(self.title, self.requirement, digest, splits, sources=self.sources)

    @property
    def settings(self) -> dict[str, JsonValue]:
        """Return config and facts of the training that say something, by name."""
        return {
            name: value
            for name, value in sorted({**self.config, **self.trained}.items())
            if value not in (None, "", {}, [])
        }
