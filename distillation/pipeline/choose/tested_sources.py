"""Looks closer at the sources that the search ranks first: fetches rows near the user's examples
and has them tested.
Try it: pytest distillation/tests/pipeline/choose/test_tested_sources.py
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from distillation.pipeline.choose.fit import SourceRows, measure_sources
from distillation.pipeline.choose.retrieval import MIN_SOURCE_SCORE
from distillation.pipeline.choose.source_fit import RELATED, RoutedGroup, SourceFit
from distillation.pipeline.types import (
    AnswerScorer,
    Candidate,
    Catalog,
    Example,
    IntentSpec,
    TextEmbedder,
)
from distillation.pipeline.understand import row_format

MOST_TESTED = 12  # sources; those that serve were among the first three
NEAR_ROWS = 40  # for each example


class SourceTester:
    """`known` are rows that the search has read already."""

    def __init__(
        self,
        catalog: Catalog,
        embedder: TextEmbedder,
        scorer: AnswerScorer | None,
        known: Sequence[Candidate],
    ) -> None:
        self.catalog = catalog
        self.embedder = embedder
        self.scorer = scorer
        self._rows = {row.id: row for row in known}

    def fits(
        self, ranked: Sequence[RoutedGroup], intent: IntentSpec, examples: Sequence[Example]
    ) -> dict[str, SourceFit]:
        """Return by id how the first sources of these groups fit.

        Those that are too far to be used are not put to the model: their form alone is looked at.
        """
        best: dict[str, float] = {}
        for routed in ranked:
            best.setdefault(routed.group.source_id, routed.score)
        first = list(best.items())[:MOST_TESTED]
        near = [source_id for source_id, score in first if score >= MIN_SOURCE_SCORE]
        far = [source_id for source_id, score in first if score < MIN_SOURCE_SCORE]
        self._read_nearest(near, examples)
        fits = self._measured(near, intent, examples, self.scorer)
        looked_at = self._measured(far, intent, examples, None)
        return fits | {key: _too_far(fit) for key, fit in looked_at.items()}

    def _read_nearest(self, source_ids: Sequence[str], examples: Sequence[Example]) -> None:
        """Add the rows of these sources that are nearest to the examples, in one search."""
        if not (examples and source_ids):
            return
        vectors = self.embedder.embed([example.input for example in examples])
        limit = NEAR_ROWS * len(source_ids)
        for ranked in self.catalog.nearest(vectors, limit=limit, source_ids=source_ids):
            self._rows |= {row.id: row for row in ranked}

    def _measured(
        self,
        source_ids: Sequence[str],
        intent: IntentSpec,
        examples: Sequence[Example],
        scorer: AnswerScorer | None,
    ) -> dict[str, SourceFit]:
        given = [rows for source_id in source_ids if (rows := self._of(source_id)).pairs]
        fits = measure_sources(examples, given, intent, scorer, self.embedder)
        return {fit.name: fit for fit in fits}

    def _of(self, source_id: str) -> SourceRows:
        mine = [row for row in self._rows.values() if row.source_id == source_id]
        found = sorted(mine, key=lambda row: row.content_hash)
        instructed = row_format.sources_with_own_instructions(found)
        pairs = [Example(row_format.model_input(row, instructed), row.answer) for row in found]
        vectors = [row.embedding for row in found]
        return SourceRows(
            source_id, pairs, np.stack(vectors) if vectors else np.empty((0, 0), "f4")
        )


def _too_far(fit: SourceFit) -> SourceFit:
    if fit.verdict == RELATED:
        return fit
    return replace(fit, verdict=RELATED, reason="what it says of itself is another task")
