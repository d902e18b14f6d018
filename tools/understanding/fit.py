"""Make the weights of `distillation.pipeline.understand` from the collection, its development part.

    python -m tools.understanding.fit

Takes about ten minutes on two cores, and the same collection gives the same weights. The held-out
part is not read; `python -m benchmarks.understanding` measures on it.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillation.pipeline.understand.embedding import vectors
from distillation.pipeline.understand.lists import scoring
from distillation.pipeline.understand.lists.candidates import ListCandidate
from distillation.pipeline.understand.lists.features import Asked
from distillation.pipeline.understand.reading import asked_of, readable
from distillation.pipeline.understand.task_kind import KINDS, kind_features
from tools.understanding.cases import DEVELOPMENT, Case, cases_in
from tools.understanding.training import Array, Group, axes, fit_kinds, fit_lists

WEIGHTS = Path(scoring.__file__).parents[1] / scoring.WEIGHTS
FOLDS = 3  # what a second step learns from is what the first said of cases it did not see
HIDDEN, DECAY = 16, 2e-3
AXES = 24


@dataclass(frozen=True)
class Sample:
    case: Case
    asked: Asked


def samples_of(cases: Sequence[Case]) -> list[Sample]:
    return [Sample(case, asked_of(readable(case.as_requirement))) for case in cases]


def fit_target(target: str, samples: Sequence[Sample]) -> dict[str, Array]:
    """Return the weights with which the list of one target is found."""
    found = [scoring.all_candidates(sample.asked, target) for sample in samples]
    kept = [n for n, items in enumerate(found) if items]
    seen = {n: scoring.seen_features(found[n], samples[n].asked) for n in kept}
    groups = {n: _group(seen[n], found[n], samples[n], target) for n in kept}
    w = _named(f"{target}.first", fit_lists(list(groups.values()), HIDDEN, DECAY))
    short: dict[int, tuple[list[ListCandidate], Array]] = {}
    for fold in range(FOLDS):
        others = [groups[n] for place, n in enumerate(kept) if place % FOLDS != fold]
        part = _named(f"{target}.first", fit_lists(others, HIDDEN, DECAY))
        for n in kept[fold::FOLDS]:
            scores = scoring.network(part, f"{target}.first", seen[n])
            short[n] = scoring.shortlist(found[n], scores, samples[n].asked, target, part)
    for place, texts in enumerate(_contexts(short, samples)):
        w[f"{target}.axes.{place}"] = axes(vectors(texts), AXES)
    second = [
        _group(
            scoring.full_features(items, scores, samples[n].asked, target, w),
            items,
            samples[n],
            target,
        )
        for n, (items, scores) in short.items()
    ]
    return w | _named(f"{target}.second", fit_lists(second, HIDDEN, DECAY))


def _group(x: Array, items: Sequence[ListCandidate], sample: Sample, target: str) -> Group:
    meant = set(sample.case.names[target])
    right = np.array([bool(meant) and set(item.names) == meant for item in items], bool)
    return Group(x, right, scoring.case_features(sample.asked))


def _named(prefix: str, values: dict[str, Array]) -> dict[str, Array]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _contexts(
    short: dict[int, tuple[list[ListCandidate], Array]], samples: Sequence[Sample]
) -> list[list[str]]:
    rows = [
        scoring.contexts(item, samples[n].asked)
        for n, (items, _) in short.items()
        for item in items
    ]
    return [list(dict.fromkeys(column)) for column in zip(*rows, strict=True)]


def fit(cases: Sequence[Case]) -> dict[str, Array]:
    """Return all weights. The kind is learned from lists that were found by weights of others."""
    samples = samples_of(cases)
    features: dict[int, Array] = {}
    for fold in range(FOLDS):
        others = [sample for n, sample in enumerate(samples) if n % FOLDS != fold]
        w = {k: v for target in scoring.TARGETS for k, v in fit_target(target, others).items()}
        for n in range(fold, len(samples), FOLDS):
            asked = samples[n].asked
            lists = {t: scoring.readings(t, asked, w) for t in scoring.TARGETS}
            features[n] = kind_features(readable(samples[n].case.as_requirement), lists, asked)
    rows = np.stack([features[n] for n in range(len(samples))])
    kinds = np.array([KINDS.index(case.kind) for case in cases])
    w = {k: v for target in scoring.TARGETS for k, v in fit_target(target, samples).items()}
    return w | _named("kind", fit_kinds(rows, kinds, len(KINDS)))


def main() -> None:
    torch.set_num_threads(1)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS
    w = fit(list(cases_in(DEVELOPMENT)))
    with target.open("wb") as file:
        halves: dict[str, Any] = {name: value.astype(np.float16) for name, value in w.items()}
        np.savez_compressed(file, **halves)
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
