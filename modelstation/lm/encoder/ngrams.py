"""Words and pieces of words as one sparse tf-idf vector. Needs numpy alone: exports carry it.

python -m pytest modelstation/lm/tests/test_encoder.py
"""

import re
from collections import Counter
from collections.abc import Iterator
from zlib import crc32

import numpy as np
import numpy.typing as npt

MAX_CHARACTERS = 8_192  # of a text
PIECES = range(2, 6)  # characters of a piece of a word
WORD = re.compile(r"\w+")

Hashes = npt.NDArray[np.uint32]
Array = npt.NDArray[np.float32]


def ngrams(text: str) -> Iterator[str]:
    """Yield words, pairs of neighbours, and the pieces of 2 to 5 characters of each word."""
    words = WORD.findall(text[:MAX_CHARACTERS].casefold())
    yield from words
    yield from map(" ".join, zip(words, words[1:], strict=False))
    for word in words:
        padded = f"<{word}>"
        for size in PIECES:
            for start in range(len(padded) - size + 1):
                yield padded[start : start + size]


def hashed(text: str) -> Counter[int]:
    """Count each n-gram by its CRC-32: a vocabulary of any size, and no string kept."""
    return Counter(crc32(ngram.encode("utf-8", "replace")) for ngram in ngrams(text))


def tf_idf(text: str, known: Hashes, idf: Array) -> tuple[npt.NDArray[np.intp], Array]:
    """Return the places in `known`, which is sorted, and the values there: 1 + ln count, times idf,
    of length 1.
    """
    counted = hashed(text)
    hashes = np.fromiter(counted, np.uint32, len(counted))
    counts = np.fromiter(counted.values(), np.float32, len(counted))
    places = np.searchsorted(known, hashes)
    places[places == len(known)] = 0
    is_known = known[places] == hashes if len(known) else np.zeros(len(hashes), bool)
    places, values = places[is_known], (1 + np.log(counts[is_known])) * idf[places[is_known]]
    length = float(np.linalg.norm(values))
    return places, (values / length if length else values).astype(np.float32)
