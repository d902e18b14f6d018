"""The encoder student: a few kilobytes that turn a text's features into a probability per label.

A folder of it holds encoder.json (labels, temperature, which encoder) and head.safetensors. The
encoder itself is shared by all of them. Needs numpy, safetensors and tokenizers; exports carry it.

    python -m pytest modelstation/lm/tests/test_encoder.py
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from modelstation.lm.encoder.ngrams import tf_idf

SETTINGS_FILE, HEAD_FILE = "encoder.json", "head.safetensors"
NGRAMS = "ngrams"  # the part that needs no encoder
Array = npt.NDArray[np.float32]


class Encoder(Protocol):
    def embed(self, texts: Sequence[str]) -> Array: ...


@dataclass(frozen=True)
class HeadSettings:
    """`parts` are the shares of each linear layer's logits: of an encoder by its name, of n-grams
    by theirs. `revisions` say which weights of an encoder it was trained on.
    """

    labels: tuple[str, ...]
    temperature: float
    parts: Mapping[str, float]
    revisions: Mapping[str, str]


@dataclass(frozen=True)
class Head:
    settings: HeadSettings
    tensors: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def load(cls, folder: Path) -> "Head":
        """ValueError where the folder holds no whole head."""
        try:
            values = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            settings = HeadSettings(**{**values, "labels": tuple(values["labels"])})
            return cls(settings, load_file(folder / HEAD_FILE))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ValueError(f"{folder.name} holds no encoder head: {error}") from error

    def save(self, folder: Path) -> None:
        text = json.dumps(asdict(self.settings), ensure_ascii=False, indent=1)
        (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")
        save_file(dict(self.tensors), folder / HEAD_FILE)

    @property
    def encoders(self) -> list[str]:
        return [name for name in self.settings.parts if name != NGRAMS]

    def probabilities(self, text: str, encoders: Mapping[str, Encoder]) -> Array:
        """(labels,) of one text, calibrated."""
        logits = np.zeros(len(self.settings.labels), np.float32)
        for name, share in self.settings.parts.items():
            logits += np.float32(share) * self._logits(name, text, encoders)
        return softmax(logits / np.float32(self.settings.temperature))

    def _logits(self, name: str, text: str, encoders: Mapping[str, Encoder]) -> Array:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        if name != NGRAMS:
            result: Array = encoders[name].embed([text])[0] @ weight + bias
            return result
        known, idf = self.tensors["ngrams.hashes"], self.tensors["ngrams.idf"]
        places, values = tf_idf(text, known, idf)
        summed: Array = values @ weight[places].astype(np.float32) + bias
        return summed


def last_question(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the last of the user's messages, which is all that an encoder reads."""
    questions = (turn["content"] for turn in reversed(messages) if turn["role"] == "user")
    return next(questions, "")


def softmax(logits: Array) -> Array:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Array = powers / powers.sum(axis=-1, keepdims=True)
    return result
