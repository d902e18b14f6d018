"""Which of all lists is the one that is meant, and how surely.

Two small networks score the lists of one requirement against each other and against "none of them":
the first by what is seen alone, the second, for the best of those, by what their words mean too.
`python -m tools.understanding.fit` makes the weights from the collection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import cast

import numpy as np
from numpy.typing import NDArray

from distillation.pipeline.understand.embedding import vectors
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.lists.candidates import ListCandidate, candidates, merged
from distillation.pipeline.understand.lists.fallback import with_fallback
from distillation.pipeline.understand.lists.features import (
    Asked,
    features,
    left_context,
    right_context,
    sentence,
)

TARGETS = ("labels", "keys")
SHORTLIST = 14
EXTENDED = 4  # so many of the best are also read with a fallback label
WEIGHTS = "weights.npz"
TEXT_PLACES = ("policy", "objective", "text")

Array = NDArray[np.float32]
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Reading:
    """One list with the probability that it is meant."""

    candidate: ListCandidate
    probability: float


@cache
def weights() -> dict[str, Array]:
    with (files("distillation.pipeline.understand") / WEIGHTS).open("rb") as file:
        return {name: value.astype(np.float32) for name, value in np.load(file).items()}


def readings(target: str, asked: Asked, stored: Weights | None = None) -> list[Reading]:
    """Return the likeliest lists for one target, best first; what is missing to 1 is "none"."""
    w = stored or weights()
    found = all_candidates(asked, target)
    if not found:
        return []
    seen = seen_features(found, asked)
    first = network(w, f"{target}.first", seen)
    short, scores = shortlist(found, first, asked, target, w)
    second = network(w, f"{target}.second", full_features(short, scores, asked, target, w))
    probabilities = _softmax(second, float(case_features(asked) @ w[f"{target}.second.none"]))
    return _by_names(short, probabilities)


def all_candidates(asked: Asked, target: str) -> list[ListCandidate]:
    result = [
        item
        for place in TEXT_PLACES
        for item in candidates(asked.texts.get(place, ""), place, asked.language)
    ]
    shown = tuple(dict.fromkeys(asked.outputs if target == "labels" else asked.example_keys))
    if shown and (target == "keys" or len(shown) > 1):
        key = frozenset(map(label_key, shown))
        result.append(ListCandidate(shown, "examples", "examples", key=key))
    return result


def seen_features(items: Sequence[ListCandidate], asked: Asked) -> Array:
    places = {
        key: len({(item.place, item.form) for item in group})
        for key, group in merged(items).items()
    }
    return np.array([features(item, asked, places[item.key]) for item in items], np.float32)


def shortlist(
    found: Sequence[ListCandidate], scores: Array, asked: Asked, target: str, w: Weights
) -> tuple[list[ListCandidate], Array]:
    """Return the best of the first look, one of each names, and those with a fallback."""
    best: list[int] = []
    names: set[tuple[str, ...]] = set()
    for number in np.argsort(-scores, kind="stable"):
        if found[number].names not in names:
            names.add(found[number].names)
            best.append(int(number))
        if len(best) == SHORTLIST:
            break
    short = [found[number] for number in best]
    if target == "labels":
        more = [
            extended
            for item in short[:EXTENDED]
            for extended in with_fallback(item, asked.texts, asked.language)
            if extended.names not in names
        ]
        if more:
            added = network(w, f"{target}.first", seen_features(more, asked))
            return [*short, *more], np.concatenate([scores[best], added])
    return short, scores[best]


def full_features(
    items: Sequence[ListCandidate], scores: Array, asked: Asked, target: str, w: Weights
) -> Array:
    texts = [text for item in items for text in contexts(item, asked)]
    unique = list(dict.fromkeys(texts))
    row_of = dict(zip(unique, vectors(unique), strict=True))
    parts = [np.stack([row_of[text] for text in texts[n::4]]) for n in range(4)]
    meant = [part @ w[f"{target}.axes.{n}"] for n, part in enumerate(parts)]
    ranks = np.arange(len(items), dtype=np.float32)[:, None]
    ahead = (scores - scores.max())[:, None]
    around = _neighbours(items, scores)
    return np.hstack([seen_features(items, asked), scores[:, None], ahead, ranks, around, *meant])


def _neighbours(items: Sequence[ListCandidate], scores: Array) -> Array:
    """Say of each list how many others hold it or are held by it, and how those fare beside it."""
    rows = []
    for item, own in zip(items, scores, strict=True):
        longer = [s - own for other, s in zip(items, scores, strict=True) if item.key < other.key]
        shorter = [s - own for other, s in zip(items, scores, strict=True) if other.key < item.key]
        rows.append(
            [len(longer), max(longer, default=-9.0), len(shorter), max(shorter, default=-9.0)]
        )
    return np.clip(np.array(rows, np.float32), -9, 9)


def contexts(item: ListCandidate, asked: Asked) -> tuple[str, str, str, str]:
    """Return what stands before and after a list, its sentence, and the names alone."""
    return (
        left_context(item, asked.texts),
        right_context(item, asked.texts),
        sentence(item, asked.texts),
        ", ".join(item.names[:12]),
    )


def case_features(asked: Asked) -> Array:
    given = (1, len(asked.outputs) > 0, len(set(asked.outputs)) > 1, bool(asked.example_keys))
    return np.array(given, np.float32)


def network(w: Weights, name: str, x: Array) -> Array:
    """Return the mean score of a few networks of one hidden layer, beside a linear part."""
    if x.shape[1] != len(w[f"{name}.mean"]):
        raise RuntimeError(f"{WEIGHTS} is of other features: run python -m tools.understanding.fit")
    scaled = np.clip((x - w[f"{name}.mean"]) / w[f"{name}.scale"], -6, 6)
    hidden = np.maximum(
        np.einsum("nd,kdh->knh", scaled, w[f"{name}.w1"]) + w[f"{name}.b1"][:, None], 0
    )
    scores = np.einsum("knh,kh->kn", hidden, w[f"{name}.w2"]) + w[f"{name}.w"] @ scaled.T
    return cast(Array, scores.mean(axis=0))


def _softmax(scores: Array, none: float) -> Array:
    highest = max(float(scores.max()), none)
    shares = np.exp(scores - highest)
    return cast(Array, shares / (shares.sum() + np.exp(none - highest)))


def _by_names(items: Sequence[ListCandidate], probabilities: Array) -> list[Reading]:
    """Add up what is one list in two places; the likeliest place tells the rest."""
    best: dict[frozenset[str], Reading] = {}
    order = np.argsort(-probabilities, kind="stable")
    for number in order:
        item, share = items[number], float(probabilities[number])
        names = frozenset(item.names)
        held = best.get(names)
        best[names] = Reading(
            held.candidate if held else item, share + (held.probability if held else 0)
        )
    return sorted(best.values(), key=lambda reading: -reading.probability)
