"""A BERT encoder over texts laid end to end: nothing is padded, and no attention mask is needed.

The linear layers see one (tokens, width) matrix whatever the lengths, and attention takes each run
of equally long texts at once. A text's vector does not depend on the texts beside it, up to how the
processor blocks a product. For a CPU: on a GPU the many small attention calls cost more than
padding does.

Try it: pytest modelstation/lm/tests/test_embedding.py
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Run = tuple[int, int]  # how many texts follow each other, and their length in tokens


class PackedBert:
    """The forward pass of a transformers BertModel, from that model's own weights."""

    def __init__(self, model: Any) -> None:
        self._embeddings = model.embeddings
        self._layers = [_PackedLayer(layer) for layer in model.encoder.layer]

    def __call__(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """(texts, width) float32: the mean over each text's tokens. Equal lengths must adjoin."""
        runs = list(runs_of([len(ids) for ids in token_ids]))
        hidden = self._embed(token_ids)
        for layer in self._layers:
            hidden = layer(hidden, runs)
        return _means(hidden, runs)

    def _embed(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        tables = self._embeddings
        flat = torch.tensor([token for ids in token_ids for token in ids])
        positions = torch.cat([torch.arange(len(ids)) for ids in token_ids])
        first_segment = tables.token_type_embeddings.weight[0]
        summed = tables.word_embeddings(flat) + first_segment
        hidden: Tensor = tables.LayerNorm(summed + tables.position_embeddings(positions))
        return hidden


class _PackedLayer:
    def __init__(self, layer: Any) -> None:
        attention = layer.attention.self
        parts = attention.query, attention.key, attention.value
        self._qkv_weight = torch.cat([part.weight for part in parts])
        self._qkv_bias = torch.cat([part.bias for part in parts])
        self._heads = attention.num_attention_heads
        self._after_attention = layer.attention.output
        self._up, self._down = layer.intermediate, layer.output

    def __call__(self, hidden: Tensor, runs: Sequence[Run]) -> Tensor:
        out = self._after_attention
        hidden = out.LayerNorm(out.dense(self._attend(hidden, runs)) + hidden)
        out = self._down
        result: Tensor = out.LayerNorm(out.dense(self._up(hidden)) + hidden)
        return result

    def _attend(self, hidden: Tensor, runs: Sequence[Run]) -> Tensor:
        qkv = functional.linear(hidden, self._qkv_weight, self._qkv_bias)
        mixed = torch.empty_like(hidden)
        start = 0
        for texts, length in runs:
            end = start + texts * length
            split = qkv[start:end].view(texts, length, 3, self._heads, -1)
            query, key, value = split.permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(query, key, value)
            mixed[start:end] = attended.transpose(1, 2).reshape(end - start, -1)
            start = end
        return mixed


def runs_of(lengths: Sequence[int]) -> Iterator[Run]:
    for length, group in groupby(lengths):
        yield len(list(group)), length


def _means(hidden: Tensor, runs: Sequence[Run]) -> Tensor:
    """In float32: the sum loses too much in bfloat16."""
    means = []
    start = 0
    for texts, length in runs:
        end = start + texts * length
        means.append(hidden[start:end].view(texts, length, -1).float().mean(dim=1))
        start = end
    return torch.cat(means)
