"""A BERT encoder over texts laid end to end: nothing is padded, and no attention mask is needed.

The linear layers see one (tokens, width) matrix whatever the lengths, and attention takes each run
of equally long texts at once. A text's vector does not depend on the texts beside it, up to how the
processor blocks a product. For a CPU: on a GPU the many small attention calls cost more than
padding does.

Read from the weights' file, without transformers: importing that takes longer than a hundred texts,
and more memory than the model.

Try it: pytest modelstation/lm/tests/test_embedding.py
"""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

Run = tuple[int, int]  # how many texts follow each other, and their length in tokens
Weights = Mapping[str, Tensor]
# Matrices are filled up to a multiple of this: for every new shape the library that multiplies
# keeps a kernel of its own: 400 MB had gathered after 2,800 texts.
TOKENS_STEP = 512


def load_packed_bert(folder: Path, dtype: torch.dtype) -> "PackedBert":
    """From a folder with config.json and model.safetensors of a BertModel."""
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        raise ValueError(f"{folder} holds no BERT encoder with GELU.")
    weights = {name: w.to(dtype) for name, w in load_file(folder / "model.safetensors").items()}
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    return PackedBert(weights, layers=layers, heads=heads, epsilon=config["layer_norm_eps"])


class PackedBert:
    """The forward pass of a transformers BertModel, from that model's own weights."""

    def __init__(self, weights: Weights, *, layers: int, heads: int, epsilon: float) -> None:
        self._weights, self._heads, self._epsilon = weights, heads, epsilon
        self._qkv = [self._joined(f"encoder.layer.{n}.attention.self") for n in range(layers)]

    def __call__(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """(texts, width) float32: the mean over each text's tokens. Equal lengths must adjoin."""
        runs = [(len(list(group)), length) for length, group in groupby(map(len, token_ids))]
        hidden = self._embed(token_ids)
        for number in range(len(self._qkv)):
            hidden = self._layer(number, hidden, runs)
        return _means(hidden, runs)

    def _joined(self, name: str) -> tuple[Tensor, Tensor]:
        """Query, key and value as one product."""
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weight = torch.cat([self._weights[f"{part}.weight"] for part in parts])
        return weight, torch.cat([self._weights[f"{part}.bias"] for part in parts])

    def _embed(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """(tokens, width), filled up with token 0, which no text's mean looks at."""
        flat = torch.tensor([token for ids in token_ids for token in ids])
        positions = torch.cat([torch.arange(len(ids)) for ids in token_ids])
        fill = (0, -len(flat) % TOKENS_STEP)
        words, places, segments = (
            self._weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        )
        summed = words[functional.pad(flat, fill)] + segments[0]
        return self._norm("embeddings", summed + places[functional.pad(positions, fill)])

    def _layer(self, number: int, hidden: Tensor, runs: Sequence[Run]) -> Tensor:
        name = f"encoder.layer.{number}"
        attended = self._attend(number, hidden, runs)
        mixed = self._dense(f"{name}.attention.output", attended)
        hidden = self._norm(f"{name}.attention.output", mixed + hidden)
        inner = functional.gelu(self._dense(f"{name}.intermediate", hidden))
        return self._norm(f"{name}.output", self._dense(f"{name}.output", inner) + hidden)

    def _attend(self, number: int, hidden: Tensor, runs: Sequence[Run]) -> Tensor:
        qkv = functional.linear(hidden, *self._qkv[number])
        mixed = torch.zeros_like(hidden)
        start = 0
        for texts, length in runs:
            end = start + texts * length
            split = qkv[start:end].view(texts, length, 3, self._heads, -1)
            query, key, value = split.permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(query, key, value)
            mixed[start:end] = attended.transpose(1, 2).reshape(end - start, -1)
            start = end
        return mixed

    def _dense(self, name: str, hidden: Tensor) -> Tensor:
        weight, bias = (self._weights[f"{name}.dense.{part}"] for part in ("weight", "bias"))
        return functional.linear(hidden, weight, bias)

    def _norm(self, name: str, hidden: Tensor) -> Tensor:
        weight, bias = (self._weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return functional.layer_norm(hidden, weight.shape, weight, bias, self._epsilon)


def _means(hidden: Tensor, runs: Sequence[Run]) -> Tensor:
    """In float32: the sum loses too much in bfloat16."""
    means = []
    for texts, length in runs:
        run, hidden = hidden[: texts * length], hidden[texts * length :]
        means.append(run.view(texts, length, -1).float().mean(dim=1))
    return torch.cat(means)
