"""What a requirement comes to: the rows of its data set, or what is missing.
Try it: pytest distillation/tests/pipeline/test_generator.py
"""

from collections import Counter
from dataclasses import dataclass

from distillation.pipeline.choose.source_fit import RoutedGroup
from distillation.pipeline.gaps import DataGap
from distillation.pipeline.types import (
    Candidate,
    FunnelStep,
    IntentSpec,
    LabelMapping,
    Message,
    SelectionConfig,
)


@dataclass(frozen=True, eq=False)
class SelectedRow:
    candidate: Candidate
    messages: tuple[Message, ...]  # system, user, assistant: the model's one form
    score: float
    scores: dict[str, float]  # what `score` is made of
    query: str
    reason: str
    step: str  # that put it in: "select", "replay" or "correction"
    split: str  # "train" | "valid" | "test"
    twin_group: str  # rows of one group never straddle splits
    content_hash: str  # of `messages`


@dataclass(frozen=True, eq=False)
class Selection:
    rows: tuple[SelectedRow, ...]
    held_out: tuple[tuple[Message, ...], ...]  # the user's test rows, in the model's one form
    intent: IntentSpec
    config: SelectionConfig
    routes: tuple[RoutedGroup, ...]
    funnel: tuple[FunnelStep, ...]
    digest: str
    label_map: tuple[LabelMapping, ...] = ()
    gap: DataGap = DataGap()  # what is missing although there are enough rows
    refused_corrections: tuple[tuple[str, str], ...] = ()  # id and reason
    doubtful_held_out: tuple[int, ...] = ()  # of the user's test rows: their places

    @property
    def sources(self) -> dict[str, int]:
        """Rows per source, most first."""
        return dict(Counter(row.candidate.source for row in self.rows).most_common())


class NotEnoughData(Exception):
    """The corpus does not serve the requirement; the sentence is for the user, the facts for the
    page that shows how to get there.
    """

    def __init__(
        self,
        available: int,
        needed: int,
        advice: str,
        *,
        gap: DataGap | None = None,
        intent: IntentSpec | None = None,
        routes: tuple[RoutedGroup, ...] = (),
        funnel: tuple[FunnelStep, ...] = (),
    ) -> None:
        missing = f"at least {needed} needed"
        if available >= needed and gap:
            missing = f"but none for {', '.join(gap.missing)}"
        super().__init__(
            f"Not enough data: {available} rows above the threshold, {missing}. {advice}"
        )
        self.gap = gap or DataGap(available, needed)
        self.intent = intent
        self.routes = routes
        self.funnel = funnel
