"""How well a source serves the requirement: the verdict on it, and on each group of its rows.
Try it: pytest distillation/tests/pipeline/choose/test_tested_sources.py
"""

from dataclasses import dataclass

from distillation.pipeline.types import Example, SourceGroup

SERVES, UNSURE, UNTESTED, RELATED = "serves", "unsure", "untested", "related"
BY_HAND = "by hand"


@dataclass(frozen=True)
class SourceFit:
    """Whether the way of a source from input to answer is that of the user's examples."""

    name: str
    verdict: str  # one of the five above
    reason: str  # in words
    gain: float | None = None  # of what the user's own pairs gain; None: not tested
    relation: float | None = None  # nats a token lost when its answers are exchanged
    form: float = 0.0  # share of its answers that have the wanted form
    covered: float = 1.0  # share of the user's labels or JSON keys that it has
    right_form: bool = False  # its answers could be the user's, whatever they say
    samples: tuple[Example, ...] = ()

    @property
    def order(self) -> tuple[int, bool, float]:
        """Sort best first."""
        rank = (BY_HAND, SERVES, UNSURE, UNTESTED, RELATED).index(self.verdict)
        return (rank, not self.right_form, -(self.gain or 0.0) - 2 * self.covered)


@dataclass(frozen=True)
class RoutedGroup:
    """How well a group of rows serves the requirement, and why."""

    group: SourceGroup
    score: float
    description_match: float  # cosine of its best description with the task's texts
    topic_match: float  # relevance of its best rows
    form_match: float  # how much better its answers fit the wanted form than the corpus at large
    chosen: bool = False
    fit: SourceFit | None = None  # of its source; None: too far to be looked at
