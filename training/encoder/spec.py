"""What an encoder's child reads and what it reports. Needs neither torch nor Django."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from training.progress import required


@dataclass(frozen=True)
class EncoderSpec:
    """`dataset` is a folder with train.jsonl and valid.jsonl."""

    dataset: Path
    out_dir: Path

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """ChildError "bad_spec" names what is missing."""
        required(values, "dataset", "out_dir")
        return cls(Path(values["dataset"]), Path(values["out_dir"]))

    def to_json(self) -> dict[str, str]:
        return {name: str(path) for name, path in asdict(self).items()}


@dataclass(frozen=True)
class Trained:
    """What a training leaves: `artifacts` are manifests by kind, `config` what was settled."""

    artifacts: dict[str, Any]
    config: dict[str, Any]
    facts: dict[str, Any]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(values["artifacts"], values["config"], values["facts"])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
