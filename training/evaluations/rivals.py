"""What something simpler answers to the held-out rows, trained on the same rows as the model.

    python -m pytest training/tests/evaluations/test_rivals.py

Where the answers are labels: a linear layer on tf-idf, and one on the vectors of each sentence
encoder. For any task the answer of the nearest training row, and where answers are written the
untuned base with four rows as examples, which the caller adds.
"""

import pickle
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from modelstation.lm.encoder.encoders import encoder_bytes
from training.encoder.features import Array, vectors_of
from training.encoder.labels import objection_to_labels
from training.scoring.report import Rival

MOST_ROWS = 5_000  # to train on
MOST_WORK = 200_000  # rows times labels: minutes, beyond it
MOST_CHARACTERS = 2_000  # of an input
TFIDF_STRENGTH = 10.0
VECTOR_STRENGTH = 100.0  # the best of 10, 30, 100 in cross-validation on rows of 77 labels


Pairs = Sequence[tuple[str, str]]


def rivals_of(train: Pairs, inputs: Sequence[str]) -> list[Rival]:
    """Train each on the (input, answer) pairs; on as many of them, spread over all, as take no more
    than minutes, and then its name says how many.
    """
    if not train:
        return []
    are_labels = not objection_to_labels([answer for _, answer in train])
    labels = len({answer for _, answer in train}) if are_labels else 1
    kept = train[:: -(-len(train) // max(1, min(MOST_ROWS, MOST_WORK // labels)))]
    found = _rivals(kept, inputs, are_labels=are_labels)
    if len(kept) == len(train):
        return found
    cut = f", on {len(kept):,} of {len(train):,} rows"
    return [replace(rival, name=rival.name + cut) for rival in found]


def _rivals(train: Pairs, inputs: Sequence[str], *, are_labels: bool) -> list[Rival]:
    texts = [text[:MOST_CHARACTERS] for text, _ in train]
    inputs = [text[:MOST_CHARACTERS] for text in inputs]
    answers = [answer for _, answer in train]
    begun = time.perf_counter()
    vectors = vectors_of(texts, inputs)
    each = (time.perf_counter() - begun) * 1000 / (len(texts) + len(inputs)) / len(vectors)
    sizes = {name: encoder_bytes(name) / 1e6 for name in vectors}
    found = [_nearest(vectors, answers, each, sum(sizes.values()))]
    if not are_labels:
        return found
    tfidf = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=50_000),
            TfidfVectorizer(
                analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=50_000
            ),
        ),
        LogisticRegression(C=TFIDF_STRENGTH, max_iter=300, tol=1e-3),
    )
    found.append(_timed("tf-idf and a linear layer", tfidf, (texts, inputs), answers))
    for name, both in vectors.items():
        linear = LogisticRegression(C=VECTOR_STRENGTH, max_iter=300, tol=1e-3)
        rival = _timed(f"vectors of {name} and a linear layer", linear, both, answers)
        cost, size = rival.milliseconds + each, rival.size_mb + sizes[name]
        found.append(Rival(rival.name, rival.texts, cost, size))
    return found


def examples_for(train: Pairs, count: int = 4) -> list[tuple[str, str]]:
    """Return a few short training rows of different answers, as examples for a prompt."""
    by_answer = {answer: text for text, answer in sorted(train, key=lambda pair: len(pair[0]))}
    shown = sorted(by_answer.items(), key=lambda pair: len(pair[0]) + len(pair[1]))
    middle = len(shown) // 4  # the shortest say too little
    return [(text, answer) for answer, text in shown[middle : middle + count]]


def _timed(name: str, model: Any, features: tuple[Any, Any], answers: Sequence[str]) -> Rival:
    model.fit(features[0], answers)
    begun = time.perf_counter()
    texts = [str(label) for label in model.predict(features[1])]
    milliseconds = (time.perf_counter() - begun) * 1000 / max(len(texts), 1)
    return Rival(name, texts, milliseconds, len(pickle.dumps(model)) / 1e6)


def _nearest(
    vectors: dict[str, tuple[Array, Array]], answers: Sequence[str], cost: float, size: float
) -> Rival:
    """Vectors are of length 1, so that their products add up to one likeness."""
    begun = time.perf_counter()
    likeness = sum(new @ known.T for known, new in vectors.values())
    places = np.asarray(likeness).argmax(axis=1)
    milliseconds = (time.perf_counter() - begun) * 1000 / max(len(places), 1)
    texts = [answers[place] for place in places]
    name = "the answer of the nearest training row"
    return Rival(name, texts, milliseconds + cost * len(vectors), size)
