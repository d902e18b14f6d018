"""Rows that repeat a held-out row, whatever answer they carry, must not be trained on.

Five signs, each named in the funnel's examples: the same input in normal form; a held-out input
inside a longer one; half of its runs of 13 words; a light paraphrase, seen by the runs of four
letters that both share, rare runs counting more; and inputs whose vectors are nearly one.

The paraphrase's threshold was set on eight public tasks with all their 3,183 held-out rows: at 0.55
about 95 of 100 light paraphrases are found (cosine 0.95 alone finds 74) and 0.5 of 100 rows of the
whole pool refused, most of them near twins of a held-out row that the pool had all along.

    python -m benchmarks.leakage
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from distillation.pipeline.text import input_key, input_text, words
from distillation.pipeline.types import Candidate, Example, Vectors

SAME_TEXT = "same text"
CONTAINED = "contains a held-out text"
PARAPHRASE = "light paraphrase"
SAME_MEANING = "nearly the same vector"

LEAK_COSINE = 0.95
LEAK_OVERLAP = 0.55
# A paraphrase is also near in meaning; rows farther away are not compared letter by letter.
PARAPHRASE_COSINE = 0.5
LONG_RUN = 13  # words; a shared run this long is the usual sign of contamination
# A held-out row counts as contained when this share of its long runs occurs in the row: rows that
# only share a template (a table's header, a standard greeting) stay below it.
CONTAINED_SHARE = 0.5
MIN_CONTAINED_WORDS = 5  # shorter held-out texts match by chance
LETTERS = 4
COMPARED_CHARACTERS = 2_000
BLOCK = 2_000

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class LeakageIndex:
    """The held-out rows, ready to be compared with any number of candidates."""

    def __init__(self, held_out: Sequence[Example], vectors: Vectors) -> None:
        texts = [row.input for row in held_out]
        self._keys = {input_key(text) for text in texts}
        self._vectors = vectors
        self._texts = [compared(text) for text in texts]
        self._runs = _WordRuns([words(text) for text in texts])

    def signs(self, candidates: Sequence[Candidate]) -> list[str]:
        """For each candidate the first sign that it repeats a held-out row, or ''."""
        if not self._keys or not candidates:
            return [""] * len(candidates)
        texts = [input_text(candidate.messages) for candidate in candidates]
        result = np.array(
            [SAME_TEXT if input_key(text) in self._keys else "" for text in texts], "O"
        )
        cosines = np.stack([c.embedding for c in candidates]) @ self._vectors.T
        nearest: Vectors = cosines.max(axis=1)
        for sign, holds in (
            (CONTAINED, self._runs.contained(texts)),
            (PARAPHRASE, self._paraphrased(texts, cosines >= PARAPHRASE_COSINE)),
            (SAME_MEANING, nearest >= LEAK_COSINE),
        ):
            result[(result == "") & holds] = sign
        return [str(sign) for sign in result]

    def leaks(self, candidates: Sequence[Candidate]) -> list[bool]:
        return [bool(sign) for sign in self.signs(candidates)]

    def _paraphrased(self, texts: Sequence[str], near: Flags) -> Flags:
        holds = np.zeros(len(texts), dtype=bool)
        rows = np.flatnonzero(near.any(axis=1))
        if rows.size:
            own = [compared(texts[int(row)]) for row in rows]
            blocks = [
                (overlaps >= LEAK_OVERLAP) & near[rows[start : start + BLOCK]]
                for start, overlaps in weighted_overlaps(own, self._texts)
            ]
            holds[rows] = np.concatenate(blocks).any(axis=1)
        return holds


def compared(text: str) -> str:
    """Words in normal form, as far as two texts are compared letter by letter."""
    return " ".join(words(text[:COMPARED_CHARACTERS]))


def weighted_overlaps(texts: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, Vectors]]:
    """(block of texts, others) Jaccard of their sets of four-letter runs, each run weighted by
    log(N / rows that hold it): a common phrase says little, a rare name much.

    A block at a time, with the number of its first text: all of it at once could be gigabytes.
    """
    counts = run_counts([*texts, *others])
    frequency = np.asarray((counts > 0).sum(axis=0)).ravel()
    weights = np.log((counts.shape[0] + 1) / (frequency + 0.5))
    weighted = counts @ sparse.diags(weights)
    totals = np.asarray(weighted.sum(axis=1)).ravel()
    held = weighted[len(texts) :].T.tocsr()
    for start in range(0, len(texts), BLOCK):
        end = min(start + BLOCK, len(texts))
        shared = (counts[start:end] @ held).toarray()
        union = totals[start:end, None] + totals[None, len(texts) :] - shared
        yield start, (shared / np.maximum(union, 1e-9)).astype(np.float32)


def run_counts(texts: Sequence[str]) -> sparse.csr_matrix:
    """(texts, runs) 1.0 where a text holds a run of four letters; a run is named by its hash."""
    padded = "".join(text.ljust(LETTERS) for text in texts)
    letters = np.frombuffer(padded.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    lengths = [max(len(text), LETTERS) for text in texts]
    hashes, rows = rolling_hashes(letters, lengths, LETTERS)
    _, columns = np.unique(hashes, return_inverse=True)
    ones = np.ones(len(rows), dtype=np.float32)
    shape = (len(texts), int(columns.max()) + 1)
    counts = sparse.csr_matrix((ones, (rows, columns)), shape=shape)
    counts.data[:] = 1.0  # building it added up the repeats within a text
    return counts


def rolling_hashes(items: Hashes, lengths: Sequence[int], size: int) -> tuple[Hashes, Indices]:
    """Hash every run of `size` items that lies within one sequence; return it with its sequence.

    `items` holds the sequences one after another, `lengths` how long each is.
    """
    if len(items) < size:
        return np.empty(0, np.uint64), np.empty(0, np.intp)
    hashes = np.zeros(len(items) - size + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for offset in range(size):
            hashes = hashes * _MULTIPLIER + items[offset : offset + len(hashes)]
            hashes ^= hashes >> np.uint64(29)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    whole = owner[: len(hashes)] == owner[size - 1 :]
    return hashes[whole], owner[: len(hashes)][whole]


class _WordRuns:
    """Held-out texts by their runs of words: long ones by runs of 13, short ones whole."""

    def __init__(self, texts: Sequence[list[str]]) -> None:
        vocabulary = sorted({word for text in texts for word in text})
        numbers = np.random.default_rng(0).integers(1, 2**63, len(vocabulary), dtype=np.uint64)
        self._number = dict(zip(vocabulary, numbers, strict=True))
        self._of_size: dict[int, tuple[Hashes, Indices, Indices]] = {}
        sizes = sorted({min(len(t), LONG_RUN) for t in texts if len(t) >= MIN_CONTAINED_WORDS})
        for size in sizes:
            long_enough = [len(t) >= size if size == LONG_RUN else len(t) == size for t in texts]
            chosen = [text for text, fits in zip(texts, long_enough, strict=True) if fits]
            hashes, owners = self._hashes(chosen, size)
            order = np.argsort(hashes, kind="stable")
            self._of_size[size] = (hashes[order], owners[order], np.bincount(owners))

    def _hashes(self, texts: Sequence[list[str]], size: int) -> tuple[Hashes, Indices]:
        lengths = [len(text) for text in texts]
        return rolling_hashes(self._numbers(word for t in texts for word in t), lengths, size)

    def _numbers(self, text: Iterable[str]) -> Hashes:
        """Replace words by numbers; unknown ones by 0, so that no run crosses them by chance."""
        return np.array([self._number.get(word, 0) for word in text], dtype=np.uint64)

    def contained(self, texts: Sequence[str]) -> Flags:
        """Whether each text holds a short held-out text whole, or half of a long one's runs."""
        split = [words(text) for text in texts]
        holds = np.zeros(len(texts), dtype=bool)
        for size, (known, owners, runs) in self._of_size.items():
            hashes, rows = self._hashes(split, size)
            is_known = np.isin(hashes, known)
            pairs = _pairs(hashes[is_known], rows[is_known], known, owners)
            for (row, owner), count in pairs.items():
                holds[row] |= count >= CONTAINED_SHARE * runs[owner]
        return holds


def _pairs(
    hashes: Hashes, rows: Indices, known: Hashes, owners: Indices
) -> dict[tuple[int, int], int]:
    """How many different runs each (text, held-out text) shares."""
    counts: dict[tuple[int, int], int] = {}
    for row, run in sorted(set(zip(rows.tolist(), hashes.tolist(), strict=True))):
        low, high = np.searchsorted(known, [np.uint64(run), np.uint64(run) + np.uint64(1)])
        for owner in set(owners[low:high].tolist()):
            counts[(row, owner)] = counts.get((row, owner), 0) + 1
    return counts
