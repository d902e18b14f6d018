"""What serving needs to know of a GGUF before it is loaded. It stands in the manifest of the
folder, where the trainer wrote it. A base has its config.json beside the file; a version from
before it was written, in merged/ beside the folder. Of the rest the file itself is read, once."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from modelstation.core.artifacts import ArtifactError, read_manifest
from modelstation.lm.gguf.config import read_config

SERVING = "serving"  # among the facts of a manifest
HALF_FLOAT_BYTES = 2


@dataclass(frozen=True)
class ServingFacts:
    context_length: int = 0  # tokens that the model was trained for; 0: unknown
    cache_bytes_per_token: int = 0

    def to_json(self) -> dict[str, dict[str, int]]:
        return {SERVING: asdict(self)}


def facts_of_model(model_folder: Path) -> ServingFacts:
    """Return those of any GGUF that is made of this model."""
    config = read_config(model_folder)
    cached = config.num_hidden_layers * config.num_key_value_heads * 2 * config.head_dim
    return ServingFacts(config.max_position_embeddings, cached * HALF_FLOAT_BYTES)


def read(gguf: Path) -> ServingFacts:
    """Return no facts of a damaged file; loading it will say what is wrong."""
    try:
        return _read(gguf, gguf.stat().st_mtime_ns)
    except OSError:
        return ServingFacts()


@lru_cache
def _read(gguf: Path, modified_ns: int) -> ServingFacts:
    try:
        return ServingFacts(**read_manifest(gguf.parent)["facts"][SERVING])
    except (ArtifactError, KeyError, TypeError):
        pass
    for model in (gguf.parent, gguf.parent.parent / "merged"):
        try:
            return facts_of_model(model)
        except (OSError, ValueError, KeyError):
            continue
    return _read_file(gguf)


def _read_file(gguf: Path) -> ServingFacts:
    """Take seconds where the vocabulary is large: the library reads all of it."""
    from gguf import GGUFReader

    try:
        fields = GGUFReader(str(gguf)).fields
        name = fields["general.architecture"].contents()
        context, layers, kv_heads, key, value = (
            int(fields[f"{name}.{field}"].contents())
            for field in (
                "context_length", "block_count", "attention.head_count_kv",
                "attention.key_length", "attention.value_length",
            )
        )  # fmt: skip
    except (ValueError, KeyError, IndexError, OSError):
        return ServingFacts()
    return ServingFacts(context, layers * kv_heads * (key + value) * HALF_FLOAT_BYTES)
