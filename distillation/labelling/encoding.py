"""Vectors of inputs: an English and a multilingual encoder side by side, for a worker.

On German mails a linear head is right 0.467 of the time with the first alone, 0.617 with both.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from distillation.labelling.head import Vectors
from distillation.pipeline.understand.embedding import vectors as multilingual
from modelstation.lm.embedding import load_embedder

DIMENSIONS = 384 + 512
BATCH = 64
Encode = Callable[[Sequence[str]], Vectors]


def encode(texts: Sequence[str]) -> Vectors:
    """Return (n, 896) rows of length 1, both halves of equal weight."""
    english = load_embedder().embed(texts)
    batches = (texts[begin : begin + BATCH] for begin in range(0, len(texts), BATCH))
    return side_by_side(english, np.vstack([multilingual(batch) for batch in batches]))


def side_by_side(first: Vectors, second: Vectors) -> Vectors:
    joined = np.hstack([_unit(first), _unit(second)])
    return _unit(joined)


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Vectors = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return result


def packed(vector: Vectors) -> bytes:
    """Half the bytes, and no loss that a linear head notices."""
    return vector.astype(np.float16).tobytes()


def unpacked(stored: Iterable[bytes]) -> Vectors:
    rows = [np.frombuffer(each, dtype=np.float16) for each in stored]
    return np.array(rows, dtype=np.float32).reshape(len(rows), -1)
