"""Which sources serve the requirement, and how relevant each of their rows is.

A source speaks through its own instructions and task names (does it describe the same task?), its
inputs (is it about the same things?) and its answers (do they have the wanted form?). Similar
inputs alone mislead: "names as JSON from posts" has the inputs of any tweet. Measured on sixteen
requirements that a pool of thirty sources does not serve, and on eighteen that it does, the
description alone separated them (at most 0.39 against at least 0.48).
Try it: pytest distillation/tests/pipeline/choose/test_retrieval.py
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from distillation.pipeline.choose.filters import Shape
from distillation.pipeline.choose.source_fit import (
    BY_HAND,
    RELATED,
    UNSURE,
    UNTESTED,
    RoutedGroup,
    SourceFit,
)
from distillation.pipeline.types import Candidate, IntentSpec, SourceGroup, Vectors
from distillation.pipeline.understand.label_map import MappedLabels, readable
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.task_kind import json_object

FUSION_OFFSET = 60
NEIGHBOURS = 10  # for hubness: a row's mean cosine to its nearest rows of the background
BEST_ROWS = 10  # a source is as relevant as the mean of its best rows
ROW_QUANTILE = 0.99  # of pairs by chance
SOURCE_QUANTILE = 0.999  # stricter: a source shows its ten best rows, not usual ones
MIN_SOURCE_SCORE = 0.46  # between the far and the served requirements of the measurement above
SURE_SOURCE_SCORE = 0.85  # of sources that served: 0.87 and more; of others: at most 0.8
# Without examples, of sixteen requirements that a source serves: 0.48 and more. Others reach 0.54,
# so this keeps out no more than what is far; the page says that nothing was tested.
MIN_DESCRIBED = 0.47
MIN_DESCRIBED_FORM = {"classify": 0.49, "extract_json": 0.6}  # where any label or JSON would do
UNTESTED_TOPIC_WEIGHT = 0.5
TOPIC_WEIGHT = 1.5
FORM_WEIGHT = 0.5
OTHER_SOURCE_MARGIN = 0.1  # a second source must match almost as well as the best one
# Labels and keys are spread over the tasks of a source; free text of another task is other work.
SIBLING_MARGIN = {"classify": 0.25, "extract_json": 0.25, "sql": 0.25}
OTHER_SIBLING_MARGIN = 0.1
MIN_FITTING_SHARE = 0.05
MIN_KEY_OVERLAP = 0.2  # JSON of other keys says nothing, and {} alone fits every schema
DESCRIPTIONS_PER_GROUP = 6
GroupKey = tuple[str, str]


def density(vectors: Vectors, background: Vectors) -> Vectors:
    """(n,) mean cosine of each row to its nearest background rows, itself apart."""
    cosines = vectors @ background.T
    cosines[cosines > 0.9999] = -1.0
    count = min(NEIGHBOURS, cosines.shape[1])
    nearest = np.partition(cosines, -count, axis=1)[:, -count:]
    mean: Vectors = nearest.mean(axis=1)
    return mean


def relevance(vectors: Vectors, queries: Vectors, background: Vectors) -> Vectors:
    """(n, queries) 2·cos(x, q) − r(x) − r(q): corrected for hubs (CSLS, Conneau et al. 2018).

    r is the mean cosine to the ten nearest background rows, so that a row close to everything, or
    a query in a crowded region, does not win by that alone.
    """
    crowded = density(vectors, background)[:, None] + density(queries, background)[None, :]
    corrected: Vectors = 2 * (vectors @ queries.T) - crowded
    return corrected


def null_threshold(
    background: Vectors, sources: Sequence[str], queries: int, quantile: float
) -> float:
    """Return the relevance that the best of `queries` queries reaches by chance in that share of
    cases.

    Rows of other sources play the queries: pairs within a source are real matches, not chance.
    Returns 0 where there are fewer than two sources to compare.
    """
    pairs = relevance(background, background, background)
    names = np.array(sources)
    by_chance = pairs[names[:, None] != names[None, :]]
    if by_chance.size == 0:
        return 0.0
    return float(np.quantile(by_chance, 1 - (1 - quantile) / max(1, queries)))


def fuse(rankings: Sequence[Sequence[Candidate]]) -> list[tuple[Candidate, float]]:
    """Rows of several rankings with the sum of 1 / (60 + rank), best first (reciprocal rank fusion,
    Cormack et al. 2009): no score of one search has to mean anything to the other.
    """
    scores: dict[str, float] = defaultdict(float)
    rows: dict[str, Candidate] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, start=1):
            rows[row.id] = row
            scores[row.id] += 1 / (FUSION_OFFSET + rank)
    best = sorted(rows, key=lambda key: (-scores[key], rows[key].content_hash))
    return [(rows[key], scores[key]) for key in best]


def describe_groups(
    groups: Sequence[SourceGroup], sample: Sequence[Candidate]
) -> dict[GroupKey, tuple[str, ...]]:
    """Collect what each group says of itself: its name, its task, and the instructions in its rows.

    Instructions that occur in several groups of a source belong to all of them.
    """
    own: dict[GroupKey, Counter[str]] = defaultdict(Counter)
    homes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in sample:
        if row.system:
            own[row.group][row.system] += 1
            homes[(row.source_id, row.system)].add(row.task)
    shared: dict[str, list[str]] = defaultdict(list)
    for (source_id, system), tasks in homes.items():
        if len(tasks) > 1:
            shared[source_id].append(system)
    return {
        group.key: _descriptions(group, own[group.key], shared[group.source_id]) for group in groups
    }


def _descriptions(
    group: SourceGroup, own: Mapping[str, int], shared: Iterable[str]
) -> tuple[str, ...]:
    prompts = sorted(own, key=lambda text: (-own[text], text))[:DESCRIPTIONS_PER_GROUP]
    names = [readable(group.task), readable(f"{group.source} {group.task}"), group.description]
    common = sorted(shared)[:DESCRIPTIONS_PER_GROUP]
    return tuple(dict.fromkeys(text for text in [*names, *common, *prompts] if text))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What routing looks at. Rows are the background sample and the nearest hits together."""

    groups: Sequence[SourceGroup]
    rows: Sequence[Candidate]
    row_relevance: Vectors  # (rows,) best over the queries
    description_match: Mapping[GroupKey, float]
    null: float
    labels: MappedLabels | None = None  # where the user's set is closed, so that others map to it


Fits = Mapping[str, SourceFit]  # by source id


def untested(ranked: Sequence[RoutedGroup]) -> Fits:
    """For callers that test no source."""
    return {}


def route(
    intent: IntentSpec,
    evidence: Evidence,
    rows: int = 0,
    test: Callable[[Sequence[RoutedGroup]], Fits] = untested,
    use: Collection[str] = (),
    search: bool = True,
) -> tuple[RoutedGroup, ...]:
    """Every group with its score, best first; `chosen` marks those that serve the requirement.

    `rows` are those requested: where the closest tasks of a source hold fewer, its others that
    match well enough help out. `test` looks closer at the sources of the best groups. `use` are
    ids of sources that a person chose: all their groups are, and nothing is asked of them. Not
    `search`: those alone.
    """
    fitting = fitting_groups(intent, evidence.groups, evidence.rows, evidence.labels)
    scored = _scored(intent, evidence)
    fits = test([r for r in scored if r.group.source_id not in use]) if search else {}
    ranked = [
        replace(
            r, fit=_by_hand(r.group) if r.group.source_id in use else fits.get(r.group.source_id)
        )
        for r in scored
    ]
    able = [
        r
        for r in ranked
        if search
        and r.group.key in fitting
        and r.group.source_id not in use
        and not (fits and r.fit is None)
        and _serves(r, intent)
    ]
    chosen = _closest(able, intent)
    chosen |= _helpers(able, chosen, rows)
    chosen |= {r.group.key for r in ranked if r.group.source_id in use}
    return tuple(replace(r, chosen=r.group.key in chosen) for r in ranked)


def _by_hand(group: SourceGroup) -> SourceFit:
    return SourceFit(group.source, BY_HAND, "chosen by a person")


def _scored(intent: IntentSpec, evidence: Evidence) -> list[RoutedGroup]:
    topic = topic_matches(evidence)
    form = form_matches(intent, evidence.rows, evidence.labels)
    scored = []
    for group in evidence.groups:
        described = evidence.description_match[group.key]
        about = topic.get(group.source_id, 0.0) - evidence.null
        formed = form.get(group.source_id, 0.0)
        score = described + TOPIC_WEIGHT * max(0.0, about) + FORM_WEIGHT * formed
        scored.append(RoutedGroup(group, round(score, 4), described, about, formed))
    return sorted(scored, key=lambda r: (-r.score, r.group.key))


def _serves(routed: RoutedGroup, intent: IntentSpec) -> bool:
    """Whether the group matches better than chance, and speaks the user's labels or keys."""
    verdict = routed.fit.verdict if routed.fit else ""
    if verdict == RELATED:
        return False
    if verdict == UNSURE and routed.score < SURE_SOURCE_SCORE:
        return False
    if intent.labels and routed.form_match <= 0:
        return False
    if intent.json_keys and routed.form_match < MIN_KEY_OVERLAP:
        return False
    if verdict == UNTESTED and not _is_described(routed, intent):
        return False
    # "Some labels" or "some JSON" is no evidence: it orders sources, it does not admit one.
    form_is_evidence = intent.labels or intent.json_keys or intent.answer_pattern
    score = routed.score if form_is_evidence else routed.score - FORM_WEIGHT * routed.form_match
    return score >= MIN_SOURCE_SCORE


def _is_described(routed: RoutedGroup, intent: IntentSpec) -> bool:
    """Whether a source says of itself that it does this task: all there is where nothing could be
    tested. Examples, labels and keys are evidence of their own; numbers look all alike.
    """
    shown = any(query.origin == "example" for query in intent.queries)
    if intent.task_kind != "number" and (shown or intent.labels or intent.json_keys):
        return True
    stated = routed.description_match + UNTESTED_TOPIC_WEIGHT * max(0.0, routed.topic_match)
    return stated >= MIN_DESCRIBED_FORM.get(intent.task_kind, MIN_DESCRIBED)


def _closest(able: Sequence[RoutedGroup], intent: IntentSpec) -> set[GroupKey]:
    """Return the best source and those close to it; of each, the tasks close to its best task."""
    best_of_source: dict[str, float] = {}
    for routed in able:
        source_id = routed.group.source_id
        best_of_source[source_id] = max(routed.score, best_of_source.get(source_id, routed.score))
    best = max(best_of_source.values(), default=0.0)
    # Labels or keys of two sources mix into one set only when the user's own tell what belongs.
    form_known = intent.labels or intent.json_keys or intent.task_kind not in _FORMS_TO_LEARN
    margin = OTHER_SOURCE_MARGIN if form_known else 0.0
    sibling_margin = SIBLING_MARGIN.get(intent.task_kind, OTHER_SIBLING_MARGIN)
    sources = {s for s, score in best_of_source.items() if score >= best - margin}
    return {
        r.group.key
        for r in able
        if r.group.source_id in sources
        and r.score >= best_of_source[r.group.source_id] - sibling_margin
    }


def _helpers(able: Sequence[RoutedGroup], chosen: set[GroupKey], rows: int) -> set[GroupKey]:
    """Other tasks of the chosen sources, best first, until there are as many rows as requested."""
    sources = {source_id for source_id, _ in chosen}
    held = sum(r.group.rows for r in able if r.group.key in chosen)
    added: set[GroupKey] = set()
    for routed in able:
        if held >= rows:
            break
        if routed.group.source_id in sources and routed.group.key not in chosen:
            added.add(routed.group.key)
            held += routed.group.rows
    return added


_FORMS_TO_LEARN = {"classify", "extract_json"}


def topic_matches(evidence: Evidence) -> dict[str, float]:
    """Per source the mean relevance of its best rows; missing rows count as chance level."""
    of_source: dict[str, list[float]] = defaultdict(list)
    for row, value in zip(evidence.rows, evidence.row_relevance, strict=True):
        of_source[row.source_id].append(float(value))
    means = {}
    for source_id, values in of_source.items():
        best = sorted(values, reverse=True)[:BEST_ROWS]
        best += [min(evidence.null, best[-1])] * (BEST_ROWS - len(best))
        means[source_id] = sum(best) / BEST_ROWS
    return means


def form_matches(
    intent: IntentSpec, rows: Sequence[Candidate], labels: MappedLabels | None = None
) -> dict[str, float]:
    """Per source, 0 to 1: how much more its answers fit than those of the corpus at large."""
    answers: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        answers[row.source_id].append((labels.answer(row) if labels else None) or row.answer)
    named = {label_key(label) for label in intent.labels or intent.label_hints}
    if named:
        return {s: _share_of(named, result) for s, result in answers.items()}
    if intent.json_keys:
        return {s: _key_overlap(intent, result) for s, result in answers.items()}
    if intent.task_kind == "generate":
        return {}  # free text has no form that could speak for a source
    shape = Shape(intent)
    shares = {s: sum(map(shape.fits, result)) / len(result) for s, result in answers.items()}
    usual = sum(shares.values()) / max(1, len(shares))
    return {source_id: max(0.0, share - usual) for source_id, share in shares.items()}


def _share_of(wanted: set[str], answers: Sequence[str]) -> float:
    return len(wanted & {label_key(answer) for answer in answers}) / len(wanted)


def _key_overlap(intent: IntentSpec, answers: Sequence[str]) -> float:
    """Half for having the user's keys, half for having no others: a source of fifty slots may
    serve a user who showed five of them, one of the five alone does it better.
    """
    wanted = set(intent.json_keys)
    result = {key for answer in answers for key in (json_object(answer) or {})}
    shared = len(wanted & result)
    return (shared / len(wanted) + shared / len(wanted | result)) / 2


def fitting_groups(
    intent: IntentSpec,
    groups: Sequence[SourceGroup],
    rows: Sequence[Candidate],
    labels: MappedLabels | None = None,
) -> set[GroupKey]:
    """Return groups of which some answers have the form; one without rows is as its source."""
    # An open set of labels or keys is not known to the last one yet.
    wanted = Shape(intent if intent.labels_closed else replace(intent, labels=(), json_keys=()))
    of_group: dict[GroupKey, list[bool]] = defaultdict(list)
    of_source: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        fits = wanted.fits((labels.answer(row) if labels else None) or row.answer)
        of_group[row.group].append(fits)
        of_source[row.source_id].append(fits)
    seen = {g.key: of_group.get(g.key) or of_source.get(g.source_id) or [False] for g in groups}
    return {key for key, fits in seen.items() if sum(fits) / len(fits) >= MIN_FITTING_SHARE}
