"""Vectors of training and validation rows, by encoder."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from modelstation.lm.embedding import load_embedder
from modelstation.lm.encoder.encoders import MINILM, MULTILINGUAL, load_encoder

Array = npt.NDArray[np.float32]


def vectors_of(train: Sequence[str], valid: Sequence[str]) -> dict[str, tuple[Array, Array]]:
    """The batched embedder is several times quicker over many rows than the one that serves, and
    its vectors are the same to 4 digits.
    """
    texts, split = [*train, *valid], len(train)
    both = {
        MINILM: load_embedder().embed(texts),
        MULTILINGUAL: load_encoder(MULTILINGUAL).embed(texts),
    }
    return {name: (vectors[:split], vectors[split:]) for name, vectors in both.items()}
