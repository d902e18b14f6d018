"""The bases of catalog.toml, by name."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from modelstation.lm.gguf.quantisations import SERVED

GGUF_NAME = SERVED.file_name  # what every installed base is served from


@dataclass(frozen=True)
class Base:
    name: str
    hub_id: str
    revision: str
    license: str
    parameters: int  # trunk, embedding, and the head where it has weights of its own
    context: int  # tokens
    architecture: str  # transformers' model_type
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocabulary: int
    tied: bool  # embedding and head are one matrix
    download_bytes: int  # weights and tokenizer, about
    template: str  # of chats, in words
    suits: str
    is_multilingual: bool = False  # else English
    offline: bool = False  # its weights come with an installed package

    @property
    def head_parameters(self) -> int:
        """The matrix that turns hidden states into logits."""
        return self.hidden_size * self.vocabulary

    @property
    def trunk_parameters(self) -> int:
        """What every token passes through: neither embedding nor head."""
        return self.parameters - self.head_parameters * (1 if self.tied else 2)

    @property
    def gguf_bytes(self) -> int:
        """Return about the size when served."""
        return int(self.parameters * SERVED.bytes_per_parameter)


def is_complete(folder: Path) -> bool:
    """Whether a base lies there, to be trained and served; such a folder appears as a whole."""
    return (folder / "config.json").is_file() and (folder / GGUF_NAME).is_file()


_TABLES = tomllib.loads(Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8"))
BASES = {name: Base(name, **fields) for name, fields in _TABLES.items()}
