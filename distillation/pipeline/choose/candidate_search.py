"""Where rows come from: which sources serve the requirement, and their candidates, scored.

    result = Finder(catalog, embedder).find(intent, config)
    candidates = finder.candidates(result, intent, config)
Try it: pytest distillation/tests/pipeline/choose/test_retrieval.py
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from distillation.pipeline.choose.retrieval import (
    MIN_SOURCE_SCORE,
    ROW_QUANTILE,
    SOURCE_QUANTILE,
    Evidence,
    describe_groups,
    fuse,
    null_threshold,
    relevance,
    route,
)
from distillation.pipeline.choose.selection import SELECTORS
from distillation.pipeline.choose.source_fit import BY_HAND, RoutedGroup
from distillation.pipeline.choose.tested_sources import SourceTester
from distillation.pipeline.outcome import NotEnoughData
from distillation.pipeline.types import (
    AnswerScorer,
    Candidate,
    Catalog,
    Example,
    IntentSpec,
    ScoredRow,
    SelectionConfig,
    SourceGroup,
    TextEmbedder,
    Vectors,
)
from distillation.pipeline.understand import row_format as row_format
from distillation.pipeline.understand.label_map import (
    MappedLabels,
    labels_of_sources,
    propose_label_map,
)

BACKGROUND_PER_SOURCE = 48
GroupKey = tuple[str, str]
Ranked = dict[str, tuple[Candidate, float]]  # by id, each with its fused rank


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The routed groups, and what is needed to score their rows. Peers route nothing."""

    groups: Sequence[SourceGroup]
    sample: Sequence[Candidate]
    background: Vectors
    query_vectors: Vectors
    row_null: float
    routes: tuple[RoutedGroup, ...] = ()

    @cached_property
    def chosen(self) -> dict[GroupKey, RoutedGroup]:
        return {routed.group.key: routed for routed in self.routes if routed.chosen}

    @property
    def corpus_rows(self) -> int:
        return sum(group.rows for group in self.groups)

    @property
    def served_rows(self) -> int:
        return sum(routed.group.rows for routed in self.chosen.values())


class Finder:
    def __init__(
        self, catalog: Catalog, embedder: TextEmbedder, scorer: AnswerScorer | None = None
    ) -> None:
        self.catalog = catalog
        self.embedder = embedder
        self.scorer = scorer

    def find(
        self, intent: IntentSpec, config: SelectionConfig, examples: Sequence[Example] = ()
    ) -> SearchResult:
        """Raise NotEnoughData when the corpus is empty."""
        groups = self.catalog.source_groups()
        sample = self.catalog.background(BACKGROUND_PER_SOURCE)
        if not sample:
            advice = "There are no sources here yet. Upload rows, label inputs, or ask a teacher."
            raise NotEnoughData(0, config.minimum_rows, advice)
        background = np.stack([row.embedding for row in sample])
        queries = self.embedder.embed([query.text for query in intent.queries])
        sources = [row.source for row in sample]
        row_null, source_null = (
            null_threshold(background, sources, len(queries), quantile)
            for quantile in (ROW_QUANTILE, SOURCE_QUANTILE)
        )
        result = SearchResult(groups, sample, background, queries, row_null)
        if SELECTORS[config.selector].pool != "served":
            return result
        return self._routed(result, intent, config, source_null, examples)

    def _routed(
        self,
        result: SearchResult,
        intent: IntentSpec,
        config: SelectionConfig,
        source_null: float,
        examples: Sequence[Example],
    ) -> SearchResult:
        limit = config.candidates_per_query(len(result.query_vectors))
        hits = self.catalog.nearest(result.query_vectors, limit=limit)
        rows = unique([*result.sample, *(row for ranked in hits for row in ranked)])
        vectors = np.stack([row.embedding for row in rows])
        evidence = Evidence(
            groups=result.groups,
            rows=rows,
            row_relevance=relevance(vectors, result.query_vectors, result.background).max(axis=1),
            description_match=self._description_match(intent, result),
            # At 0 a pair is as close as each is to its own neighbours: a corpus of few and very
            # different sources must not make less than that look like a match.
            null=max(0.0, source_null),
            labels=self._closed_labels(intent, rows),
        )
        tester = SourceTester(self.catalog, self.embedder, self.scorer, rows)
        routes = route(
            intent,
            evidence,
            config.rows,
            test=lambda ranked: tester.fits(ranked, intent, examples),
            use=config.use_sources,
            search=config.search_corpus,
        )
        return replace(result, routes=routes)

    def _closed_labels(self, intent: IntentSpec, rows: Sequence[Candidate]) -> MappedLabels | None:
        """Allow sources other labels than the user's, as long as they can be mapped."""
        if intent.task_kind != "classify" or not intent.labels_closed:
            return None
        counts, embed = labels_of_sources(rows), self.embedder.embed
        described = intent.label_descriptions
        return MappedLabels(
            propose_label_map(counts, intent.labels, intent.label_rules, embed, described)
        )

    def _description_match(self, intent: IntentSpec, result: SearchResult) -> dict[GroupKey, float]:
        """For each group the best cosine of one of its descriptions with one of the task's."""
        described = describe_groups(result.groups, result.sample)
        texts = sorted({text for own in described.values() for text in own})
        cosines = remembered(self.embedder, texts) @ self.embedder.embed(intent.task_texts).T
        best = dict(zip(texts, cosines.max(axis=1), strict=True))
        return {key: float(max(best[text] for text in own)) for key, own in described.items()}

    def candidates(
        self, result: SearchResult, intent: IntentSpec, config: SelectionConfig
    ) -> Ranked:
        """Rows by id, each with its fused rank (0 where no search returned it)."""
        pool = SELECTORS[config.selector].pool
        if pool == "served":
            return self._served(result, intent, config)
        rows = self._peer(pool, result, intent, config)
        if pool == "dense":
            return {row.id: (row, float(max(result.query_vectors @ row.embedding))) for row in rows}
        return {row.id: (row, 1 / place) for place, row in enumerate(rows, start=1)}

    def _served(self, result: SearchResult, intent: IntentSpec, config: SelectionConfig) -> Ranked:
        """Rows of the chosen groups: the nearest to each query by vector and by words, and a wide
        sample of the rest.

        Four examples name four of seventy-seven labels: nearness alone would never meet the others.
        """
        keys = sorted(result.chosen)
        sources = sorted({source_id for source_id, _ in keys})
        limit = config.candidates_per_query(len(result.query_vectors))
        texts = [query.text for query in intent.queries]
        dense = self.catalog.nearest(result.query_vectors, limit=limit, source_ids=sources)
        lexical = self.catalog.lexical(texts, limit=limit, source_ids=sources)
        candidates: Ranked = {}
        for rankings in zip(dense, lexical, strict=True):
            for row, fused in fuse(rankings)[:limit]:
                _, best = candidates.get(row.id, (row, 0.0))
                candidates[row.id] = (row, max(fused, best))
        by_hand = [key for key in keys if key[0] in config.use_sources]
        for groups in (by_hand, [key for key in keys if key not in by_hand]):
            for row in self.catalog.rows(groups, limit=config.rows * config.candidates_per_row):
                candidates.setdefault(row.id, (row, 0.0))
        return {key: value for key, value in candidates.items() if value[0].group in result.chosen}

    def _peer(
        self, pool: str, result: SearchResult, intent: IntentSpec, config: SelectionConfig
    ) -> list[Candidate]:
        """Return what a plainer selector looks at: more rows than requested, since some leak."""
        limit = 2 * config.rows
        if pool == "dense":
            return merged(self.catalog.nearest(result.query_vectors, limit=limit))
        if pool == "lexical":
            texts = [query.text for query in intent.queries]
            return merged(self.catalog.lexical(texts, limit=limit))
        groups = [group.key for group in result.groups]
        if pool == "any":
            return list(self.catalog.rows(groups, limit=10 * limit))
        sources = sorted({source_id for source_id, _ in groups})
        each = -(-4 * limit // len(sources))
        return [
            row
            for source_id in sources
            for row in self.catalog.rows([key for key in groups if key[0] == source_id], limit=each)
        ]


# What sources say of themselves changes rarely; a worker embeds it once.
_REMEMBERED: WeakKeyDictionary[TextEmbedder, dict[str, Vectors]] = WeakKeyDictionary()
MOST_REMEMBERED = 20_000


def remembered(embedder: TextEmbedder, texts: Sequence[str]) -> Vectors:
    """(texts, dimensions), embedded now or by an earlier call of this process."""
    known = _REMEMBERED.setdefault(embedder, {})
    if len(known) > MOST_REMEMBERED:
        known.clear()
    unknown = [text for text in texts if text not in known]
    known.update(zip(unknown, embedder.embed(unknown), strict=True))
    return np.stack([known[text] for text in texts])


def merged(rankings: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """Merge the first of each ranking, then the second of each, every row once."""
    longest = max((len(ranking) for ranking in rankings), default=0)
    return unique(r[place] for place in range(longest) for r in rankings if place < len(r))


def unique(rows: Iterable[Candidate]) -> list[Candidate]:
    return list({row.id: row for row in rows}.values())


def score_rows(
    candidates: Sequence[Candidate],
    intent: IntentSpec,
    result: SearchResult,
    fused: Mapping[str, float],
    labels: MappedLabels | None,
) -> tuple[list[ScoredRow], list[Candidate]]:
    """Relevance to the closest query, plus how well the row's source serves the requirement; and
    the rows below the null threshold, refused.

    Only a source that is known by its topic alone is mixed enough for that: what is at chance
    level there is other work, while in a source that does the very task it is another label.
    """
    if not candidates:
        return [], []
    vectors = np.stack([row.embedding for row in candidates])
    matches = relevance(vectors, result.query_vectors, result.background)
    instructed = row_format.sources_with_own_instructions(candidates)
    chosen = result.chosen
    scored, below = [], []
    for row, values in zip(candidates, matches, strict=True):
        routed = chosen.get(row.group)
        best = int(values.argmax())
        known_by = max(routed.description_match, routed.form_match) if routed else 1.0
        if routed and routed.fit and routed.fit.verdict == BY_HAND:
            known_by = 1.0  # a person said so
        if values[best] < result.row_null and known_by < MIN_SOURCE_SCORE:
            below.append(row)
            continue
        relevant = float(values[best])
        scored.append(
            ScoredRow(
                candidate=row,
                input=row_format.model_input(row, instructed),
                answer=(labels.answer(row) if labels else None) or row.answer,
                score=relevant + routed.score if routed else fused.get(row.id, 0.0),
                relevance=relevant,
                query=best,
                fused=fused.get(row.id, 0.0),
            )
        )
    return scored, below
