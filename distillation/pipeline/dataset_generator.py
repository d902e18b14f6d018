"""From a requirement to a dataset: the product's story on one page.

    generator = DatasetGenerator(catalog, embedder)
    selection = generator.generate(Requirement("Route bank messages …"), SelectionConfig(rows=1000))

Nothing here asks an outside model: rows are found, judged, filtered and ordered, never invented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from distillation.pipeline import dedup, export, form
from distillation.pipeline.filters import describe, hard_filters
from distillation.pipeline.intent import NO_EDITS, json_object, understand
from distillation.pipeline.labels import learn_labels, merge_labels
from distillation.pipeline.leakage import LeakageIndex
from distillation.pipeline.retrieval import (
    MIN_SOURCE_SCORE,
    ROW_QUANTILE,
    SOURCE_QUANTILE,
    Evidence,
    describe_groups,
    null_threshold,
    relevance,
    route,
)
from distillation.pipeline.selection import order_rows
from distillation.pipeline.splits import assign_splits
from distillation.pipeline.text import clip, hash_messages
from distillation.pipeline.types import (
    Candidate,
    Catalog,
    Example,
    FunnelStep,
    IntentEdits,
    IntentSpec,
    NotEnoughData,
    OnProgress,
    Requirement,
    RoutedGroup,
    ScoredRow,
    SelectedRow,
    Selection,
    SelectionConfig,
    SourceGroup,
    TextEmbedder,
    Vectors,
)

STAGES = ("understand", "route", "retrieve", "filter", "select", "split")
BACKGROUND_PER_SOURCE = 48
LEND_KEYS_OVERLAP = 0.5  # a source that shares half of the user's JSON keys may add its own


def ignore_progress(stage: str, done: int, total: int) -> None:
    """For callers that do not watch."""


@dataclass(frozen=True, eq=False)
class _Found:
    """The routed groups and what is needed to score their rows."""

    routes: tuple[RoutedGroup, ...]
    query_vectors: Vectors
    background: Vectors
    row_null: float
    groups: Sequence[SourceGroup]

    @property
    def chosen(self) -> dict[tuple[str, str], RoutedGroup]:
        return {routed.group.key: routed for routed in self.routes if routed.chosen}


class DatasetGenerator:
    def __init__(self, catalog: Catalog, embedder: TextEmbedder) -> None:
        self.catalog = catalog
        self.embedder = embedder

    def generate(
        self,
        requirement: Requirement,
        config: SelectionConfig,
        held_out: Sequence[Example] = (),
        on_progress: OnProgress = ignore_progress,
        edits: IntentEdits = NO_EDITS,
    ) -> Selection:
        """Raises NotEnoughData when the corpus does not serve the requirement."""
        tell = _Teller(on_progress)
        tell("understand")
        intent = understand(requirement, edits)
        tell("route")
        found = self._route(intent, config)
        tell("retrieve")
        candidates = self._candidates(found, config)
        intent = learn_form(intent, candidates, found.routes)
        tell("filter")
        rows, filtered = self._filter(candidates, intent, config, held_out)
        scored = score_rows(rows, intent, found)
        tell("select")
        chosen, deduplicated = choose_rows(scored, intent, config)
        _require(len(chosen), config, found)
        tell("split")
        selected = finish_rows(chosen, intent, config, found, held_out=bool(held_out))
        test_rows = form.held_out_messages(intent.system_prompt, held_out)
        first = FunnelStep("not retrieved", _corpus_rows(found) - len(candidates), len(candidates))
        return Selection(
            rows=selected,
            held_out=test_rows,
            intent=intent,
            config=config,
            routes=found.routes,
            funnel=(first, *filtered, *deduplicated),
            digest=export.dataset_digest(selected, test_rows),
        )

    def _route(self, intent: IntentSpec, config: SelectionConfig) -> _Found:
        """Which groups of rows serve the requirement. Raises NotEnoughData when none does."""
        groups = self.catalog.source_groups()
        sample = self.catalog.background(BACKGROUND_PER_SOURCE)
        if not sample:
            raise NotEnoughData(0, config.minimum_rows, "Seed a source, or upload your own rows.")
        background = np.stack([row.embedding for row in sample])
        query_vectors = self.embedder.embed([query.text for query in intent.queries])
        hits = self.catalog.nearest(query_vectors, limit=config.candidates_per_query)
        rows = _unique([*sample, *(row for found in hits for row in found)])
        vectors = np.stack([row.embedding for row in rows])
        row_null, source_null = (
            null_threshold(background, [r.source for r in sample], len(query_vectors), quantile)
            for quantile in (ROW_QUANTILE, SOURCE_QUANTILE)
        )
        evidence = Evidence(
            groups=groups,
            rows=rows,
            row_relevance=relevance(vectors, query_vectors, background).max(axis=1),
            description_match=self._description_match(intent, groups, sample),
            # At 0 a pair is as close as each is to its own neighbours: a corpus of few and very
            # different sources must not make less than that look like a match.
            null=max(0.0, source_null),
        )
        found = _Found(route(intent, evidence), query_vectors, background, row_null, groups)
        if not found.chosen:
            _require(0, config, found)
        return found

    def _description_match(
        self, intent: IntentSpec, groups: Sequence[SourceGroup], sample: Sequence[Candidate]
    ) -> dict[tuple[str, str], float]:
        """For each group the best cosine of one of its descriptions with one of the task's."""
        described = describe_groups(groups, sample)
        texts = sorted({text for found in described.values() for text in found})
        cosines = self.embedder.embed(texts) @ self.embedder.embed(intent.task_texts).T
        best = dict(zip(texts, cosines.max(axis=1), strict=True))
        return {key: float(max(best[text] for text in found)) for key, found in described.items()}

    def _candidates(self, found: _Found, config: SelectionConfig) -> list[Candidate]:
        """Rows of the chosen groups: the nearest to each query, and a wide sample of the rest.

        Four examples name four of seventy-seven labels: nearness alone would never meet the others.
        """
        keys = sorted(found.chosen)
        source_ids = sorted({source_id for source_id, _ in keys})
        near = self.catalog.nearest(
            found.query_vectors, limit=config.candidates_per_query, source_ids=source_ids
        )
        wide = self.catalog.rows(keys, limit=config.rows * config.candidates_per_row)
        rows = _unique([*(row for rows in near for row in rows), *wide])
        return [row for row in rows if row.group in found.chosen]

    def _filter(
        self,
        candidates: Sequence[Candidate],
        intent: IntentSpec,
        config: SelectionConfig,
        held_out: Sequence[Example],
    ) -> tuple[tuple[Candidate, ...], tuple[FunnelStep, ...]]:
        vectors = self.embedder.embed([row.input for row in held_out])
        return hard_filters(
            candidates,
            intent,
            license_policy=config.license_policy,
            max_row_tokens=config.max_row_tokens,
            leakage=LeakageIndex(held_out, vectors),
        )


class _Teller:
    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress

    def __call__(self, stage: str) -> None:
        self._on_progress(stage, STAGES.index(stage), len(STAGES))


def learn_form(
    intent: IntentSpec, candidates: Sequence[Candidate], routes: Sequence[RoutedGroup]
) -> IntentSpec:
    """Complete an open set of labels or JSON keys from the answers of the sources that serve it."""
    if intent.task_kind == "classify" and not intent.labels_closed:
        learned = learn_labels(row.answer for row in candidates)
        return replace(intent, labels=merge_labels(intent.labels, learned))
    if intent.task_kind == "extract_json" and intent.json_keys:
        alike = {
            r.group.source_id for r in routes if r.chosen and r.form_match >= LEND_KEYS_OVERLAP
        }
        rows = [row for row in candidates if row.source_id in alike]
        learned_keys = {key for row in rows for key in (json_object(row.answer) or {})}
        return replace(intent, json_keys=tuple(sorted({*intent.json_keys, *learned_keys})))
    return intent


def score_rows(
    candidates: Sequence[Candidate], intent: IntentSpec, found: _Found
) -> list[ScoredRow]:
    """Relevance to the closest query, plus how well the row's source serves the requirement.

    A source known by its topic alone may be mixed: of it, rows at chance level are left out.
    """
    if not candidates:
        return []
    vectors = np.stack([row.embedding for row in candidates])
    matches = relevance(vectors, found.query_vectors, found.background)
    telling = form.telling_sources(candidates)
    scored = []
    for row, values in zip(candidates, matches, strict=True):
        routed = found.chosen[row.group]
        best = int(values.argmax())
        if values[best] < found.row_null and _by_topic_alone(routed):
            continue
        scored.append(
            ScoredRow(
                candidate=row,
                input=form.model_input(row, telling),
                answer=form.model_answer(row, intent),
                score=float(values[best]) + routed.score,
                relevance=float(values[best]),
                query=best,
            )
        )
    return scored


def _by_topic_alone(routed: RoutedGroup) -> bool:
    return max(routed.description_match, routed.form_match) < MIN_SOURCE_SCORE


def choose_rows(
    scored: Sequence[ScoredRow], intent: IntentSpec, config: SelectionConfig
) -> tuple[list[ScoredRow], tuple[FunnelStep, ...]]:
    """Order the rows, refuse repeats, and take as many as were asked for."""
    ordered = order_rows(scored, intent, config)
    steps = []
    for name, check in (
        ("exact duplicate", dedup.exact_duplicates),
        ("contradiction", dedup.contradictions),
    ):
        verdicts = check(ordered)
        steps.append(_step(name, ordered, verdicts))
        ordered = [row for row, no in zip(ordered, verdicts, strict=True) if not no]
    kept, refused = dedup.near_duplicates(ordered, config.rows)
    near = [index in set(refused) for index in range(len(ordered))]
    steps.append(_step("near duplicate", ordered, near))
    beyond = len(ordered) - len(kept) - len(refused)
    steps.append(FunnelStep("beyond the rows asked for", beyond, len(kept)))
    return [ordered[index] for index in kept], tuple(steps)


def _step(name: str, rows: Sequence[ScoredRow], refused: Sequence[bool]) -> FunnelStep:
    out = [row for row, no in zip(rows, refused, strict=True) if no]
    examples = tuple(describe(row.candidate) for row in out[:10])
    return FunnelStep(name, len(out), len(rows) - len(out), examples)


def finish_rows(
    rows: Sequence[ScoredRow],
    intent: IntentSpec,
    config: SelectionConfig,
    found: _Found,
    *,
    held_out: bool,
) -> tuple[SelectedRow, ...]:
    """Write each row in the model's form, give it a reason and a split."""
    messages = [form.model_messages(intent.system_prompt, row.input, row.answer) for row in rows]
    hashes = [hash_messages(found_messages) for found_messages in messages]
    groups = dedup.twin_groups(rows, by_answer=intent.task_kind != "classify")
    splits = assign_splits(hashes, groups, config, held_out=held_out)
    return tuple(
        SelectedRow(
            candidate=row.candidate,
            messages=messages[i],
            score=row.score,
            scores={
                "relevance": round(row.relevance, 4),
                "source": round(found.chosen[row.candidate.group].score, 4),
            },
            query=intent.queries[row.query].text,
            reason=_reason(row, intent, found),
            step="select",
            split=splits[i],
            twin_group=hashes[groups[i]],
            content_hash=hashes[i],
        )
        for i, row in enumerate(rows)
    )


def _reason(row: ScoredRow, intent: IntentSpec, found: _Found) -> str:
    routed = found.chosen[row.candidate.group]
    query = intent.queries[row.query]
    source = f"{row.candidate.source} serves the task ({routed.score:.2f})"
    return f"{source}; closest to the {query.origin} “{clip(query.text, 80)}” ({row.relevance:.2f})"


def _require(rows: int, config: SelectionConfig, found: _Found) -> None:
    needed = min(config.minimum_rows, config.rows)
    if rows >= needed:
        return
    closest = found.routes[0].group.source if found.routes else "none"
    raise NotEnoughData(
        rows,
        needed,
        f"The closest source is {closest}. Add example pairs that show inputs and answers, "
        "upload rows of your own, or ask for a source of this kind to be seeded.",
    )


def _unique(rows: Sequence[Candidate]) -> list[Candidate]:
    return list({row.id: row for row in rows}.values())


def _corpus_rows(found: _Found) -> int:
    return sum(group.rows for group in found.groups)
