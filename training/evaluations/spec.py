"""What the evaluation child reads. Needs neither torch nor Django."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from distillation.pipeline.coverage import Coverage
from models_app.serving.encoder.engine import is_encoder, shared_bytes
from training.progress import spec_from
from training.scoring.criteria import CompiledChecks, Criteria, read_criteria


@dataclass(frozen=True)
class Side:
    """A model that answers, with the system prompt of its own that it gets, where it has one: the
    live version what it is served with, the base all labels or keys. The live version has a name.
    """

    gguf: Path
    tokenizer_folder: Path
    system_prompt: str | None = None
    name: str = ""

    @property
    def is_encoder(self) -> bool:
        """Whether `gguf` is the head of an encoder instead."""
        return is_encoder(self.gguf)

    @property
    def size_mb(self) -> float:
        """Of the files; to an encoder's head belongs the encoder that it shares with others."""
        shared = shared_bytes(self.gguf) if self.is_encoder else 0
        return (self.gguf.stat().st_size + shared) / 1e6


@dataclass(frozen=True)
class EvaluationSpec:
    """`test_file` holds JSON lines of messages, the last one the reference answer, with tables for
    SQL under `fixture` where there are any.

    The checks are the frozen `contract`, else `criteria` (objects or plain sentences). Answers of
    the base are kept in `cache_dir` for the next evaluation. What is simpler learns from the rows
    of `train_file`, in the same form. Without `max_tokens` the longest reference decides.
    `coverage` says which labels or fields no training row showed, `doubtful_rows` how many held-out
    rows likely have a wrong label.
    """

    test_file: Path
    base: Side
    tuned: Side
    metric: str
    out_dir: Path
    system_prompt: str = ""
    contract: CompiledChecks | None = None
    criteria: list[str | Mapping[str, Any]] = field(default_factory=list)
    labels: list[str] | None = None
    max_tokens: int | None = None
    seed: int = 0
    live: Side | None = None
    probes: bool = True
    cache_dir: Path | None = None
    train_file: Path | None = None
    coverage: Coverage = Coverage()
    doubtful_rows: int = 0

    @property
    def sides(self) -> dict[str, Side]:
        both = {"base": self.base, "tuned": self.tuned}
        return both | ({"live": self.live} if self.live else {})

    def checks(self) -> Criteria:
        """Raise ValueError for a malformed check, and a contract that is not what was frozen."""
        if self.contract:
            return self.contract.criteria()
        return read_criteria(self.criteria, self.labels)

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """ChildError "bad_spec" names what is missing."""
        contract = values.get("contract")
        parts = {
            "contract": contract and CompiledChecks(**contract),
            "coverage": Coverage(**values.get("coverage") or {}),
        }
        return spec_from(cls, {**values, **parts})
