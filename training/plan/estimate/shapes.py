"""The shape of a base model, read from the headers of its files: no weight and no torch is loaded.

python -m pytest training/tests/plan/test_shapes.py
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BYTES_OF_DTYPE = {"float32": 4, "float16": 2, "bfloat16": 2}
# (parameters, layers, hidden, intermediate, vocabulary) of common small bases, for one whose files
# are not here: the nearest in size, with its widths stretched.
KNOWN_SHAPES = (
    (134_515_008, 30, 576, 1536, 49_152),
    (361_821_120, 32, 960, 2560, 49_152),
    (596_049_920, 28, 1024, 3072, 151_936),
    (1_711_376_384, 24, 2048, 8192, 49_152),
)


@dataclass(frozen=True)
class BaseShape:
    """What decides how much a base costs. `bytes_per_parameter` are those of its weight files."""

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    attention: int  # heads × their width
    key_value: int  # key heads × their width
    vocabulary: int
    context: int
    is_tied: bool = True
    bytes_per_parameter: int = 2

    @property
    def head_parameters(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def trunk_parameters(self) -> int:
        """Those that every token is multiplied by: all but the embedding and the head."""
        tables = self.head_parameters * (1 if self.is_tied else 2)
        return max(1, self.parameters - tables)

    @property
    def lora_parameters(self) -> int:
        """Of rank 1, on every linear layer but the head: a column in, a row out."""
        of_attention = 2 * (self.hidden + self.attention) + 2 * (self.hidden + self.key_value)
        return self.layers * (of_attention + 3 * (self.hidden + self.intermediate))


def read_shape(folder: Path) -> BaseShape:
    """Of the base in `folder`; ValueError where its files do not say it."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        is_tied = bool(config.get("tie_word_embeddings", True))
        files = folder.glob("*.safetensors")
        parameters = sum(_stored_parameters(path, is_tied) for path in files)
        return _shape(config, parameters)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"The base's files do not say its shape: {error}") from error


def guessed_shape(parameters: int, context: int) -> BaseShape:
    """Of a base of this size whose files are not on this machine."""
    known = min(KNOWN_SHAPES, key=lambda shape: abs(math.log(shape[0] / max(1, parameters))))
    size, layers, hidden, intermediate, vocabulary = known
    stretch = math.sqrt(parameters / size)
    hidden, intermediate = round(hidden * stretch), round(intermediate * stretch)
    return BaseShape(
        parameters, layers, hidden, intermediate, hidden, hidden // 2, vocabulary, context
    )


def _shape(config: Mapping[str, Any], parameters: int) -> BaseShape:
    if not parameters:
        raise ValueError("there are no weights")
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")
    return BaseShape(
        parameters=parameters,
        layers=int(config["num_hidden_layers"]),
        hidden=hidden,
        intermediate=int(config["intermediate_size"]),
        attention=heads * width,
        key_value=int(config.get("num_key_value_heads") or heads) * width,
        vocabulary=int(config["vocab_size"]),
        context=int(config["max_position_embeddings"]),
        is_tied=bool(config.get("tie_word_embeddings", True)),
        bytes_per_parameter=BYTES_OF_DTYPE.get(dtype, 2),
    )


def _stored_parameters(path: Path, is_tied: bool) -> int:
    """Count those of a safetensors file. It opens with its header's length (8 bytes,
    little-endian), then JSON. Some hold a tied head once more.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    left_out = {"__metadata__", *(("lm_head.weight",) if is_tied else ())}
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name not in left_out)
