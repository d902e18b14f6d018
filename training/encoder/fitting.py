"""Fit the encoder student: linear layers on frozen features, all choices made on validation rows.

    python -m benchmarks.encoder

Each kind of features (sentence vectors, n-grams) gets a multinomial logistic regression for each
regularisation; the best is kept, then the best mixture of their logits. A hundred validation rows
tell settings apart poorly, so each training row is judged too, by a fit on the other folds; and by
log-loss, which is less noisy than accuracy. The temperature is that of the validation rows.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from modelstation.lm.encoder.head import NGRAMS, Head, HeadSettings, softmax
from modelstation.lm.encoder.ngrams import hashed, tf_idf

Array = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Matrix = Any  # (rows, features), dense or sparse
MOST_NGRAMS = 16_384
STRENGTHS: Mapping[str, tuple[float, ...]] = {NGRAMS: (1, 5, 25)}
VECTOR_STRENGTHS = (0.2, 1, 5, 25, 125)
NEVER = -1e4  # the logit of a label that cannot be
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
MIN_LABELS = 2
FOLDS = 4
BINS = 10  # of the calibration error


@dataclass(frozen=True)
class Rows:
    texts: Sequence[str]
    labels: Sequence[str]


@dataclass(frozen=True)
class Trial:
    """One setting and what it reached on the validation rows."""

    name: str
    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class Fitted:
    head: Head
    trials: list[Trial]
    accuracy: float
    calibration_error: float


@dataclass(frozen=True)
class _Task:
    """The labels' numbers of the training and of the validation rows (-1: in no training row)."""

    wanted: Numbers
    valid: Numbers
    folds: Numbers  # of the training rows

    @property
    def all(self) -> Numbers:
        return np.concatenate([self.wanted, self.valid])


@dataclass(frozen=True)
class _Layer:
    weight: Array
    bias: Array
    logits: Array  # of the validation rows
    judged: Array  # of the training rows, each by a fit without it, and of the validation rows
    trial: Trial


def fit(
    train: Rows,
    valid: Rows,
    vectors: Mapping[str, tuple[Array, Array]],
    revisions: Mapping[str, str],
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> Fitted:
    """`vectors` are those of the train and of the validation rows, by encoder. ValueError where
    the rows hold fewer than two labels.
    """
    labels = sorted(set(train.labels))
    if len(labels) < MIN_LABELS:
        raise ValueError("An encoder learns to tell labels apart; these rows hold only one.")
    place = {label: number for number, label in enumerate(labels)}
    wanted = np.array([place[label] for label in train.labels])
    truth = np.array([place.get(label, -1) for label in valid.labels], np.int64)
    known, idf = vocabulary(train.texts)
    features: dict[str, tuple[Matrix, Matrix]] = dict(vectors)
    if len(known):
        features[NGRAMS] = (sparse(train.texts, known, idf), sparse(valid.texts, known, idf))
    trials: list[Trial] = []

    def note(trial: Trial) -> Trial:
        trials.append(trial)
        on_trial(trial)
        return trial

    task = _Task(wanted, truth, np.random.default_rng(0).permutation(len(wanted)) % FOLDS)
    layers = {name: _best_layer(name, *both, task, note) for name, both in features.items()}
    parts, logits = _mixed(layers, task, note)
    temperature = fitted_temperature(logits, truth)
    settings = HeadSettings(
        tuple(labels), temperature, parts, {n: r for n, r in revisions.items() if n in parts}
    )
    tensors: dict[str, Any] = {}
    for name in parts:
        half = np.float16 if name == NGRAMS else np.float32
        tensors[f"{name}.weight"] = np.ascontiguousarray(layers[name].weight, half)
        tensors[f"{name}.bias"] = layers[name].bias
    if NGRAMS in parts:
        tensors |= {"ngrams.hashes": known, "ngrams.idf": idf}
    probabilities = softmax(logits / np.float32(temperature))
    return Fitted(
        Head(settings, tensors),
        trials,
        accuracy(logits, truth),
        calibration_error(probabilities, truth),
    )


def trials_of(vectors: Mapping[str, object]) -> int:
    """How many trials a fit will report."""
    return len(vectors) * len(VECTOR_STRENGTHS) + len(STRENGTHS[NGRAMS]) + 1


def vocabulary(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], Array]:
    """Return the hashes of the n-grams of at least two texts, the most frequent, sorted; and ln
    ((1 + texts) / (1 + texts with it)) + 1 of each.
    """
    found: Counter[int] = Counter()
    for text in texts:
        found.update(hashed(text).keys())
    frequent = dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:MOST_NGRAMS])
    kept = sorted(ngram for ngram, count in frequent.items() if count > 1)
    counts = np.array([frequent[ngram] for ngram in kept], np.float32)
    idf = np.log((1 + len(texts)) / (1 + counts)) + 1
    return np.array(kept, np.uint32), idf.astype(np.float32)


def sparse(texts: Sequence[str], known: npt.NDArray[np.uint32], idf: Array) -> csr_matrix:
    rows = [tf_idf(text, known, idf) for text in texts]
    starts = np.cumsum([0, *(len(places) for places, _ in rows)])
    places = np.concatenate([np.zeros(0, np.intp), *(places for places, _ in rows)])
    values = np.concatenate([np.zeros(0, np.float32), *(values for _, values in rows)])
    return csr_matrix((values, places, starts), shape=(len(texts), len(known)))


def _best_layer(
    name: str, x: Matrix, x_valid: Matrix, task: _Task, note: Callable[[Trial], Trial]
) -> _Layer:
    layers, count = [], int(task.wanted.max()) + 1
    for strength in STRENGTHS.get(name, VECTOR_STRENGTHS):
        weight, bias = _fitted(x, task.wanted, count, strength)
        logits = x_valid @ weight + bias
        judged = np.concatenate([_without_themselves(x, task, count, strength), logits])
        trial = note(_trial(f"{name}, C={strength:g}", judged, task.all))
        layers.append(_Layer(weight, bias, logits, judged, trial))
    return max(layers, key=lambda layer: _merit(layer.trial))


def _without_themselves(x: Matrix, task: _Task, count: int, strength: float) -> Array:
    """Return each training row's logits by a fit on the folds that it is not in."""
    logits = np.zeros((len(task.wanted), count), np.float32)
    for fold in range(FOLDS):
        inside = task.folds == fold
        if len(set(task.wanted[~inside])) < MIN_LABELS:
            continue
        weight, bias = _fitted(x[~inside], task.wanted[~inside], count, strength)
        logits[inside] = x[inside] @ weight + bias
    return logits


def _fitted(x: Matrix, wanted: Numbers, count: int, strength: float) -> tuple[Array, Array]:
    """Return weight (features, count) and bias; a label without rows here is never chosen."""
    model = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit(x, wanted)
    weight, bias = model.coef_.T, model.intercept_
    if weight.shape[1] == 1:  # two labels have one line between them
        weight, bias = np.hstack([-weight, weight]) / 2, np.hstack([-bias, bias]) / 2
    all_weights = np.zeros((weight.shape[0], count), np.float32)
    all_biases = np.full(count, NEVER, np.float32)
    all_weights[:, model.classes_], all_biases[model.classes_] = weight, bias
    return all_weights, all_biases


def _mixed(
    layers: Mapping[str, _Layer], task: _Task, note: Callable[[Trial], Trial]
) -> tuple[dict[str, float], Array]:
    """Return each part's share of the logits, without those of zero, and the mixed logits of the
    validation rows. A part's logits are first brought to the temperature that suits them.
    """
    suited = {n: 1 / fitted_temperature(each.judged, task.all) for n, each in layers.items()}
    tried = []
    for shares in product(SHARES, repeat=len(layers)):
        if abs(sum(shares) - 1) > 1e-6:
            continue
        named = {name: share for name, share in zip(layers, shares, strict=True) if share}
        mixed = {name: share * suited[name] for name, share in named.items()}
        judged = _summed({name: layers[name].judged for name in mixed}, mixed)
        words = " + ".join(f"{share:g} {name}" for name, share in named.items())
        tried.append((_trial(words, judged, task.all), mixed))
    best, mixed = max(tried, key=lambda each: _merit(each[0]))
    note(best)
    return mixed, _summed({name: layers[name].logits for name in mixed}, mixed)


def _summed(logits: Mapping[str, Array], shares: Mapping[str, float]) -> Array:
    weighted = [np.float32(shares[name]) * each for name, each in logits.items()]
    return np.asarray(sum(weighted), np.float32)


def _merit(trial: Trial) -> tuple[float, float]:
    return -trial.log_loss, trial.accuracy


def _trial(name: str, logits: Array, truth: Numbers) -> Trial:
    temperature = fitted_temperature(logits, truth)
    return Trial(name, accuracy(logits, truth), log_loss(logits, truth, temperature))


def accuracy(logits: Array, truth: Numbers) -> float:
    return float((logits.argmax(axis=1) == truth).mean()) if len(truth) else 0.0


def log_loss(logits: Array, truth: Numbers, temperature: float = 1.0) -> float:
    """Of the rows whose label is known. As in Platt's scaling a right answer counts as right but
    for one in their number: few rows that are all right are no reason to be certain.
    """
    known = truth >= 0
    rows = int(known.sum())
    if not rows:
        return 0.0
    logs = np.log(np.maximum(softmax(logits[known] / np.float32(temperature)), 1e-12))
    right = logs[np.arange(rows), truth[known]]
    doubt = 1 / (rows + 2)
    others = (logs.sum(axis=1) - right) / max(1, logs.shape[1] - 1)
    return float(-((1 - doubt) * right + doubt * others).mean())


def fitted_temperature(logits: Array, truth: Numbers) -> float:
    """The one of the least log-loss (Guo et al. 2017), between 0.05 and 20."""
    if not (truth >= 0).any():
        return 1.0
    found = minimize_scalar(
        lambda power: log_loss(logits, truth, float(np.exp(power))),
        bounds=(-3, 3),
        method="bounded",
    )
    return float(np.exp(found.x))


def calibration_error(probabilities: Array, truth: Numbers) -> float:
    """Expected calibration error over ten bins of equal width."""
    if not len(truth):
        return 0.0
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = (abs(sure[bins == n].sum() - right[bins == n].sum()) for n in range(BINS))
    return float(sum(gaps) / len(truth))
