"""In which order rows are taken: SELECTORS names the ways, each a pure function of rows and config.

`round_robin` is the product's; benchmarks/distillation.py measures it beside the others.
Try it: pytest distillation/tests/pipeline/choose/test_selection.py
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from distillation.pipeline.types import IntentSpec, ScoredRow, SelectionConfig
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.task_kind import json_object

Rows = Sequence[ScoredRow]
Order = Callable[[Rows, IntentSpec, SelectionConfig], list[int]]


@dataclass(frozen=True)
class Selector:
    """`pool` is where its candidates come from: "served" groups alone, or one of the ways of the
    peers, which look at the whole corpus: "any" rows, the same number "of each source", the
    nearest by words ("lexical") or by vector ("dense").
    """

    order: Order
    pool: str = "served"


def seeded_key(seed: int, content_hash: str) -> str:
    """Shuffle by a fixed key: equal on every machine, different for every seed."""
    return hashlib.sha256(f"{seed}:{content_hash}".encode()).hexdigest()


def random_order(rows: Rows, intent: IntentSpec, config: SelectionConfig) -> list[int]:
    def key(index: int) -> str:
        return seeded_key(config.seed, rows[index].candidate.content_hash)

    return sorted(range(len(rows)), key=key)


def balanced_random(rows: Rows, intent: IntentSpec, config: SelectionConfig) -> list[int]:
    """One row of each source in turn, at random within it (the fair peer of Ivison et al. 2025)."""
    of_source: dict[str, list[int]] = defaultdict(list)
    for index in random_order(rows, intent, config):
        of_source[rows[index].candidate.source_id].append(index)
    turns = zip_longest(*(of_source[source_id] for source_id in sorted(of_source)))
    return [index for turn in turns for index in turn if index is not None]


def best_first(rows: Rows, intent: IntentSpec, config: SelectionConfig) -> list[int]:
    return sorted(range(len(rows)), key=lambda index: _by_score(rows[index]))


def round_robin(rows: Rows, intent: IntentSpec, config: SelectionConfig) -> list[int]:
    """Let groups take turns, each with the row that adds most: near to what is wanted, far from
    what the group has already.

    Groups are the labels of a classification, the sets of keys of an extraction, else the queries.
    Sets of keys are taken in proportion to the square root of their frequency: all equally often
    would teach a model that the rarest combination is as likely as "nothing found".
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index in range(len(rows)):
        groups[balance_group(rows[index], intent)].append(index)
    tempered = intent.task_kind == "extract_json"
    turns = [
        (rank / (math.sqrt(len(members)) if tempered else 1.0), _by_score(rows[index]), index)
        for members in groups.values()
        for rank, index in enumerate(diversified(rows, members, config), start=1)
    ]
    return [index for _, _, index in sorted(turns)]


def diversified(rows: Rows, members: Sequence[int], config: SelectionConfig) -> list[int]:
    """Members in the order of maximal marginal relevance (Carbonell and Goldstein 1998): each is
    the argmax of λ·score − (1 − λ)·(highest cosine to one taken before).

    As many as the dataset may hold are chosen so; the rest follow by their score.
    """
    waiting = sorted(members, key=lambda index: _by_score(rows[index]))
    vectors = np.stack([rows[index].candidate.embedding for index in waiting])
    # Rounded: the last digits of a float product differ between processors, the order must not.
    gain = config.diversity_lambda * np.array([round(rows[index].score, 3) for index in waiting])
    closest = np.zeros(len(waiting), dtype=np.float32)
    taken: list[int] = []
    left = np.ones(len(waiting), dtype=bool)
    for _ in range(min(len(waiting), config.rows)):
        margin = np.round(gain - (1 - config.diversity_lambda) * closest, 3)
        best = int(np.where(left, margin, -np.inf).argmax())
        taken.append(best)
        left[best] = False
        np.maximum(closest, vectors @ vectors[best], out=closest)
    return [waiting[place] for place in [*taken, *np.flatnonzero(left).tolist()]]


def _by_score(row: ScoredRow) -> tuple[float, str]:
    return (-round(row.score, 3), row.candidate.content_hash)


def balance_group(row: ScoredRow, intent: IntentSpec) -> str:
    if intent.task_kind == "classify":
        return label_key(row.answer)
    if intent.task_kind == "extract_json":
        return ",".join(sorted(json_object(row.answer) or {}))
    return str(row.query)


SELECTORS: Mapping[str, Selector] = {
    "random": Selector(random_order, pool="any"),
    "balanced_random": Selector(balanced_random, pool="of each source"),
    "bm25": Selector(best_first, pool="lexical"),
    "embedding": Selector(best_first, pool="dense"),
    "round_robin": Selector(round_robin),
}


def order_rows(rows: Rows, intent: IntentSpec, config: SelectionConfig) -> list[ScoredRow]:
    """All rows in the order in which they are taken."""
    selector = SELECTORS[config.selector]
    ordered = [rows[index] for index in selector.order(rows, intent, config)]
    return _cap_sources(ordered, config) if selector.pool == "served" else ordered


def _cap_sources(ordered: Rows, config: SelectionConfig) -> list[ScoredRow]:
    """Rows beyond a source's share wait at the end, for when the others have none left."""
    if len({row.candidate.source_id for row in ordered}) < 2:
        return list(ordered)
    cap = math.ceil(config.rows * config.source_share)
    taken: Counter[str] = Counter()
    first: list[ScoredRow] = []
    waiting: list[ScoredRow] = []
    for row in ordered:
        taken[row.candidate.source_id] += 1
        (first if taken[row.candidate.source_id] <= cap else waiting).append(row)
    return first + waiting


def within_budget(rows: Rows, answer_tokens: int | None) -> list[ScoredRow]:
    """Take the first rows whose answers hold so many tokens together (four letters each)."""
    if answer_tokens is None:
        return list(rows)
    spent = np.cumsum([max(1, len(row.answer) // 4) for row in rows])
    return list(rows[: int(np.searchsorted(spent, answer_tokens, side="right"))])
