"""A BERT sentence encoder in numpy: one short text in a few milliseconds, without torch.

The same weights as modelstation.lm.embedding, which is the quicker way to many long texts. Needs
numpy, safetensors and tokenizers alone: exports carry this file as it is.

    python -m pytest modelstation/lm/tests/test_encoder.py
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Array = npt.NDArray[np.float32]
MAX_TOKENS = 256
MAX_CHARACTERS = 8_192  # more than 256 tokens of any language
# Of erf, by Abramowitz and Stegun 7.1.26: off by 1.5e-7 at most.
ERF = tuple(map(np.float32, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)))
ERF_P = np.float32(0.3275911)
ROOT_HALF = np.float32(0.5**0.5)


class Bert:
    """Texts to unit vectors, each the mean over its tokens."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
            raise ValueError(f"{folder} holds no BERT encoder with GELU.")
        self.dimensions = int(config["hidden_size"])
        self._heads, self._epsilon = config["num_attention_heads"], config["layer_norm_eps"]
        weights = load_file(folder / "model.safetensors")
        # Laid out as they are multiplied: a product of a few rows is a third quicker.
        self._weights: Mapping[str, Array] = {
            name: np.ascontiguousarray(value.T) if "dense.weight" in name else value
            for name, value in weights.items()
        }
        layers = range(config["num_hidden_layers"])
        self._qkv = [self._joined(f"encoder.layer.{n}.attention.self") for n in layers]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def embed(self, texts: Sequence[str]) -> Array:
        """(n, dimensions) rows of length 1; a text is cut at 256 tokens."""
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for place, text in enumerate(texts):
            vectors[place] = self._mean(self.token_ids(text))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def token_ids(self, text: str) -> list[int]:
        head = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self._tokenizer.encode(head).ids
        return ids

    def _joined(self, name: str) -> tuple[Array, Array]:
        """Query, key and value as one product."""
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self._weights[f"{part}.weight"] for part in parts])
        bias = np.concatenate([self._weights[f"{part}.bias"] for part in parts])
        return np.ascontiguousarray(weight.T), bias

    def _mean(self, ids: Sequence[int]) -> Array:
        words, places, segments = (
            self._weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        )
        hidden = self._norm("embeddings", words[list(ids)] + segments[0] + places[: len(ids)])
        for number in range(len(self._qkv)):
            hidden = self._layer(number, hidden)
        mean: Array = hidden.mean(axis=0)
        return mean

    def _layer(self, number: int, hidden: Array) -> Array:
        name = f"encoder.layer.{number}"
        mixed = self._dense(f"{name}.attention.output", self._attend(number, hidden))
        hidden = self._norm(f"{name}.attention.output", mixed + hidden)
        inner = gelu(self._dense(f"{name}.intermediate", hidden))
        return self._norm(f"{name}.output", self._dense(f"{name}.output", inner) + hidden)

    def _attend(self, number: int, hidden: Array) -> Array:
        weight, bias = self._qkv[number]
        split = (hidden @ weight + bias).reshape(len(hidden), 3, self._heads, -1)
        query, key, value = split.transpose(1, 2, 0, 3)
        scores = query @ key.transpose(0, 2, 1) * np.float32(query.shape[-1] ** -0.5)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed: Array = (shares @ value).transpose(1, 0, 2).reshape(hidden.shape)
        return mixed

    def _dense(self, name: str, hidden: Array) -> Array:
        result: Array = hidden @ self._weights[f"{name}.dense.weight"]
        result += self._weights[f"{name}.dense.bias"]
        return result

    def _norm(self, name: str, hidden: Array) -> Array:
        weight, bias = (self._weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + self._epsilon)
        normed: Array = centred / spread.astype(np.float32) * weight + bias
        return normed


def gelu(values: Array) -> Array:
    """x/2 (1 + erf(x/√2))."""
    size = np.abs(values) * ROOT_HALF
    near = 1 / (1 + ERF_P * size)
    sum_ = np.full_like(near, ERF[0])
    for factor in ERF[1:]:
        sum_ = sum_ * near + factor
    erf = np.copysign(1 - sum_ * near * np.exp(-size * size), values)
    result: Array = np.float32(0.5) * values * (1 + erf)
    return result
