"""From a requirement to a dataset: the product's story on one page.

    generator = DatasetGenerator(catalog, embedder)
    selection = generator.generate(Requirement("Route bank messages …"), SelectionConfig(rows=1000))

Nothing here asks an outside model: rows are found, judged, filtered and ordered, never invented.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from distillation.pipeline import export
from distillation.pipeline.choose import dedup
from distillation.pipeline.choose.candidate_search import Finder, SearchResult, score_rows
from distillation.pipeline.choose.filters import EXAMPLES_PER_STEP, describe, hard_filters
from distillation.pipeline.choose.fit import are_labels
from distillation.pipeline.choose.leakage import LeakageIndex
from distillation.pipeline.choose.selection import SELECTORS, order_rows, seeded_key, within_budget
from distillation.pipeline.choose.source_fit import BY_HAND, RoutedGroup
from distillation.pipeline.choose.splits import assign_splits
from distillation.pipeline.corrections import CORRECTION, correction_rows
from distillation.pipeline.coverage import names_in
from distillation.pipeline.doubtful import LabelCheck, check_rows, settle, step_of
from distillation.pipeline.gaps import gap_of, lacks_too_much
from distillation.pipeline.outcome import NotEnoughData, SelectedRow, Selection
from distillation.pipeline.text import clip, hash_messages
from distillation.pipeline.types import (
    KEEP,
    AnswerScorer,
    Candidate,
    Catalog,
    Correction,
    Example,
    FunnelStep,
    IntentEdits,
    IntentSpec,
    LabelMapping,
    OnProgress,
    Requirement,
    ScoredRow,
    SelectionConfig,
    TextEmbedder,
)
from distillation.pipeline.understand import row_format
from distillation.pipeline.understand.intent import NO_EDITS, understand
from distillation.pipeline.understand.label_map import (
    MappedLabels,
    labels_of_sources,
    propose_label_map,
)
from distillation.pipeline.understand.labels import is_label, learn_labels, merge_labels
from distillation.pipeline.understand.system_prompt import prompt_of
from distillation.pipeline.understand.task_kind import (
    PLAIN_NUMBER_PATTERN,
    SQL_PATTERN,
    WORKED_NUMBER_PATTERN,
    json_object,
)

STAGES = ("understand", "route", "retrieve", "filter", "select", "split")
REPLAY = "replay"
SPARE_SHARE = 4  # a quarter more rows are looked at, to stand in for those of doubtful labels
_NOT_TEXT = (SQL_PATTERN, WORKED_NUMBER_PATTERN, PLAIN_NUMBER_PATTERN)
LEND_KEYS_OVERLAP = 0.5  # a source that shares half of the user's JSON keys may add its own


def ignore_progress(stage: str, done: int, total: int) -> None:
    """For callers that do not watch."""


class DatasetGenerator:
    def __init__(
        self, catalog: Catalog, embedder: TextEmbedder, scorer: AnswerScorer | None = None
    ) -> None:
        """Without a scorer no source is tested against the examples."""
        self.catalog = catalog
        self.embedder = embedder
        self.finder = Finder(catalog, embedder, scorer)

    def generate(
        self,
        requirement: Requirement,
        config: SelectionConfig,
        held_out: Sequence[Example] = (),
        on_progress: OnProgress = ignore_progress,
        edits: IntentEdits = NO_EDITS,
        corrections: Sequence[Correction] = (),
    ) -> Selection:
        """`corrections`, newest first, come before all other rows. Raises NotEnoughData when the
        corpus does not serve the requirement.
        """

        def report(stage: str) -> None:
            on_progress(stage, STAGES.index(stage), len(STAGES))

        report("understand")
        intent = understand(requirement, edits)
        report("route")
        result = self.finder.find(intent, config, requirement.examples)
        served = SELECTORS[config.selector].pool == "served"
        if served and not result.chosen:
            raise not_enough([], intent, config, result)
        report("retrieve")
        ranked = self.finder.candidates(result, intent, config)
        candidates = [row for row, _ in ranked.values()]
        intent = learn_labels_and_keys(intent, candidates, result.routes)
        label_map = self._label_map(intent, candidates) if served else ()
        report("filter")
        held_vectors = self.embedder.embed([row.input for row in held_out])
        leakage = LeakageIndex(held_out, held_vectors)
        labels = MappedLabels(label_map) if label_map else None
        rows, filtered = hard_filters(
            candidates, intent, config, leakage=leakage, labels=labels, shaped=served
        )
        fused = {key: rank for key, (_, rank) in ranked.items()}
        scored, below = score_rows(rows, intent, result, fused, labels)
        corrected = correction_rows(
            corrections, intent, config, result=result, leakage=leakage, embedder=self.embedder
        )
        report("select")
        chosen, deduplicated, check = choose_rows(scored, intent, config, corrected.rows)
        doubted = check.of_others(held_vectors, [row.output for row in held_out])
        funnel = (
            self._kept_out_by_license(result),
            *_before_the_filters(result, len(candidates), served),
            *filtered,
            *corrected.funnel,
            _step("below the threshold", len(scored), [describe(row) for row in below]),
            *deduplicated,
        )
        gap = gap_of(chosen, intent, result.routes, needed_rows(config))
        if len(chosen) < gap.needed or (lacks_too_much(gap) and not config.use_sources and served):
            raise not_enough(chosen, intent, config, result, funnel)
        replayed = self._replay(result, intent, config, leakage)
        chosen = [*chosen[: config.rows - len(replayed)], *replayed]
        report("split")
        answers = [row.answer for row in chosen]
        intent = replace(intent, system_prompt=prompt_of(requirement, intent, answers))
        selected = finish_rows(chosen, intent, config, result, held_out=bool(held_out))
        test_rows = row_format.held_out_messages(intent.system_prompt, held_out)
        return Selection(
            rows=selected,
            held_out=test_rows,
            intent=intent,
            config=config,
            routes=result.routes,
            funnel=funnel,
            digest=export.dataset_digest(selected, test_rows),
            label_map=label_map,
            gap=gap,
            refused_corrections=corrected.refused,
            doubtful_held_out=tuple(sorted(doubted)),
        )

    def _kept_out_by_license(self, result: SearchResult) -> FunnelStep:
        examples = tuple(self.catalog.license_examples())
        return FunnelStep(
            "licence policy", self.catalog.refused_by_license, result.corpus_rows, examples
        )

    def _label_map(
        self, intent: IntentSpec, candidates: Sequence[Candidate]
    ) -> tuple[LabelMapping, ...]:
        if intent.task_kind != "classify":
            return ()
        counts = labels_of_sources(candidates)
        return propose_label_map(
            counts,
            intent.labels,
            intent.label_rules,
            self.embedder.embed,
            intent.label_descriptions,
        )

    def _replay(
        self,
        result: SearchResult,
        intent: IntentSpec,
        config: SelectionConfig,
        leakage: LeakageIndex,
    ) -> list[ScoredRow]:
        """Take a few rows of other work, the same number of each source: a model aimed at one
        narrow target unlearns the rest (Ivison et al. 2025).

        Only where answers are free text: other work has no answer among the user's labels or keys.
        """
        count = int(config.replay_share * config.rows)
        if intent.task_kind != "generate" or not result.chosen or not count:
            return []
        others = free_text([row for row in result.sample if row.group not in result.chosen])
        rows, _ = hard_filters(others, replace(intent, answer_min_chars=1), config, leakage=leakage)
        order = sorted(rows, key=lambda row: seeded_key(config.seed, row.content_hash))
        return [
            ScoredRow(row, row_format.model_input(row, set()), row.answer, 0.0, 0.0, 0, step=REPLAY)
            for row in _one_of_each_source_in_turn(order)[:count]
        ]


def free_text(rows: Sequence[Candidate]) -> list[Candidate]:
    """Return those whose answer is written text: no label, number, SQL or JSON, which would teach a
    writer to answer so.
    """
    answers: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        answers[row.source_id].append(row.answer)
    labelled = {source_id for source_id, given in answers.items() if are_labels(given)}
    return [row for row in rows if row.source_id not in labelled and is_free_text(row.answer)]


def is_free_text(answer: str) -> bool:
    other_forms = any(re.match(pattern, answer) for pattern in _NOT_TEXT)
    return not (is_label(answer) or json_object(answer) is not None or other_forms)


def learn_labels_and_keys(
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


def choose_rows(
    scored: Sequence[ScoredRow],
    intent: IntentSpec,
    config: SelectionConfig,
    corrected: Sequence[ScoredRow] = (),
) -> tuple[list[ScoredRow], tuple[FunnelStep, ...], LabelCheck]:
    """Order rows: corrected ones, those of sources that a person chose, the others. Refuse what
    repeats or contradicts one before it, and settle those whose label is doubtful.
    """
    found = order_rows(scored, intent, config)
    by_hand = [row for row in found if row.candidate.source_id in config.use_sources]
    searched = [row for row in found if row.candidate.source_id not in config.use_sources]
    ordered = [*corrected, *by_hand, *searched]
    steps = []
    for name, check in dedup.REPEATS.items():
        verdicts = check(ordered)
        out = [row for row, no in zip(ordered, verdicts, strict=True) if no]
        ordered = [row for row, no in zip(ordered, verdicts, strict=True) if not no]
        steps.append(_step(name, len(ordered), _described(out)))
    most = config.rows + (config.rows // SPARE_SHARE if intent.task_kind == "classify" else 0)
    kept, refused = dedup.near_duplicates(ordered, most)
    left = len(ordered) - len(refused)
    steps.append(_step("near duplicate", left, _described([ordered[i] for i in refused])))
    pool = [ordered[index] for index in kept]
    doubts = check_rows(pool) if intent.task_kind == "classify" else LabelCheck()
    is_scarce = len(pool) - len(doubts.doubts) < needed_rows(config)
    do = KEEP if is_scarce else config.doubtful_rows
    settled, out = settle(pool, doubts, do)
    if doubts.head is not None:
        steps.append(step_of(left - len(out), pool, doubts, do))
    chosen = within_budget(settled[: config.rows], config.answer_tokens)
    placed = {row.candidate.id for row in (*chosen, *out, *(ordered[i] for i in refused))}
    beyond = [row for row in ordered if row.candidate.id not in placed]
    steps.append(_step("beyond the rows requested", len(chosen), _described(beyond)))
    return chosen, tuple(steps), doubts


def _step(name: str, kept: int, refused: Sequence[str]) -> FunnelStep:
    return FunnelStep(name, len(refused), kept, tuple(refused[:EXAMPLES_PER_STEP]))


def _described(rows: Sequence[ScoredRow]) -> list[str]:
    return [describe(row.candidate) for row in rows]


def _before_the_filters(
    result: SearchResult, candidates: int, served: bool
) -> tuple[FunnelStep, ...]:
    if not served:
        unseen = result.corpus_rows - candidates
        return (FunnelStep("not looked at", unseen, candidates),)
    others = [f"{r.group.source} {r.group.task}".strip() for r in result.routes if not r.chosen]
    return (
        FunnelStep(
            "the source does not serve the requirement",
            result.corpus_rows - result.served_rows,
            result.served_rows,
            tuple(others[:EXAMPLES_PER_STEP]),
        ),
        FunnelStep("not near enough", result.served_rows - candidates, candidates),
    )


def _one_of_each_source_in_turn(rows: Sequence[Candidate]) -> list[Candidate]:
    turn: Counter[str] = Counter()
    ranked = []
    for place, row in enumerate(rows):
        ranked.append((turn[row.source_id], place, row))
        turn[row.source_id] += 1
    return [row for _, _, row in sorted(ranked, key=lambda item: item[:2])]


def finish_rows(
    rows: Sequence[ScoredRow],
    intent: IntentSpec,
    config: SelectionConfig,
    result: SearchResult,
    *,
    held_out: bool,
) -> tuple[SelectedRow, ...]:
    """Write each row in the model's form, give it a reason and a split."""
    messages = [
        row_format.model_messages(intent.system_prompt, row.input, row.answer) for row in rows
    ]
    hashes = [hash_messages(row_messages) for row_messages in messages]
    groups = dedup.twin_groups(rows, by_answer=intent.task_kind != "classify")
    corrected = {group for group, row in zip(groups, rows, strict=True) if row.step == CORRECTION}
    splits = assign_splits(
        hashes,
        groups,
        config,
        held_out=held_out,
        for_training=corrected,
        names=[names_in(row.answer, intent.task_kind) for row in rows],
    )
    return tuple(
        SelectedRow(
            candidate=row.candidate,
            messages=messages[i],
            score=row.score,
            scores=_scores(row, result),
            query=intent.queries[row.query].text,
            reason=_reason(row, intent, result),
            step=row.step,
            split="train" if row.step == REPLAY else splits[i],
            twin_group=hashes[groups[i]],
            content_hash=hashes[i],
        )
        for i, row in enumerate(rows)
    )


def _scores(row: ScoredRow, result: SearchResult) -> dict[str, float]:
    routed = result.chosen.get(row.candidate.group)
    parts = {"relevance": row.relevance, "fused_rank": row.fused}
    if routed:
        parts["source"] = routed.score
    if row.is_doubtful:
        parts["doubtful"] = 1.0
    return {name: round(value, 4) for name, value in parts.items()}


def _reason(row: ScoredRow, intent: IntentSpec, result: SearchResult) -> str:
    routed = result.chosen.get(row.candidate.group)
    if row.why:
        return row.why
    if routed is None:
        return "other work, so that the model does not unlearn it" if result.routes else ""
    query = intent.queries[row.query]
    if routed.fit and routed.fit.verdict == BY_HAND:
        return f"a person chose {row.candidate.source}"
    source = f"{row.candidate.source} serves the task ({routed.score:.2f})"
    return f"{source}; closest to the {query.origin} “{clip(query.text, 80)}” ({row.relevance:.2f})"


def needed_rows(config: SelectionConfig) -> int:
    return min(config.minimum_rows, config.rows)


def not_enough(
    rows: Sequence[ScoredRow],
    intent: IntentSpec,
    config: SelectionConfig,
    result: SearchResult,
    funnel: tuple[FunnelStep, ...] = (),
) -> NotEnoughData:
    """Say what there is, what is missing, and what is near."""
    needed = needed_rows(config)
    gap = gap_of(rows, intent, result.routes, needed)
    closest = f"The closest source is {result.routes[0].group.source}. " if result.routes else ""
    return NotEnoughData(
        len(rows),
        needed,
        f"{closest}Add example pairs that show inputs and answers, or bring rows: upload them, "
        "label inputs of your own, or ask a teacher.",
        gap=gap,
        intent=intent,
        routes=result.routes,
        funnel=funnel or _before_the_filters(result, 0, served=True),
    )
