"""What a training child reads and what it reports. Needs neither torch nor Django.

python -m pytest training/tests/runs/test_child.py
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from training.progress import ChildError, required
from training.recipes.config import Settings, TrainingConfig, config_from
from training.recipes.facts import TrainingFacts

PATHS = ("dataset", "base_folder", "out_dir", "checkpoints_dir")
Manifest = dict[str, Any]  # of an artifact: see modelstation.core.artifacts
Manifests = dict[str, Manifest]  # by the kind of artifact


@dataclass(frozen=True)
class TrainingSpec:
    """`dataset` is a folder with train.jsonl and valid.jsonl.

    A run with `checkpoints_dir` survives its process; with `keep_checkpoints` those that are left
    at its end become artifacts too.
    """

    dataset: Path
    base_folder: Path
    base_name: str
    out_dir: Path
    config: TrainingConfig
    checkpoints_dir: Path | None = None
    keep_checkpoints: bool = False

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """ChildError "bad_spec" names what is missing or invalid."""
        required(values, "dataset", "base_folder", "base_name", "out_dir")
        try:
            config = config_from(values.get("config") or {})
        except ValueError as error:
            raise ChildError("bad_spec", str(error)) from error
        paths = {name: Path(values[name]) for name in PATHS if values.get(name)}
        keep = bool(values.get("keep_checkpoints"))
        return cls(base_name=values["base_name"], config=config, keep_checkpoints=keep, **paths)

    def to_json(self) -> dict[str, str | bool | Settings]:
        paths = {name: str(path) for name in PATHS if (path := getattr(self, name))}
        spec: dict[str, str | bool | Settings] = {"config": self.config.to_json(), **paths}
        return spec | {"base_name": self.base_name, "keep_checkpoints": self.keep_checkpoints}


@dataclass(frozen=True)
class TrainingResult:
    """`config` is the one that was used, everything in it settled."""

    artifacts: Manifests
    config: TrainingConfig
    facts: TrainingFacts

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        config = config_from(values["config"])
        return cls(values["artifacts"], config, TrainingFacts.from_json(values))

    def to_json(self) -> dict[str, Any]:
        facts = self.facts.to_json()
        return {"artifacts": self.artifacts, **facts, "config": self.config.to_json()}
