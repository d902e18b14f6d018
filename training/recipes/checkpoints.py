"""Checkpoints of a run: what it takes to go on as if nothing had happened.

    python -m pytest training/tests/finetuning/test_checkpoints.py

Each is a folder `step-00000120`, written beside its place, hashed, given a manifest and renamed, so
that a half-written one is never seen. A run goes on from the newest that is whole and its own, else
from the one before, else from the start.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import torch

from modelstation.core.artifacts import ArtifactError, verify, write_artifact

KEPT = 2
STATE = "state.pt"
Weights = dict[str, torch.Tensor]


class State(TypedDict):
    """All of a run between two steps."""

    weights: Weights
    best: Weights
    best_loss: float
    misses: int  # evaluations since the best one
    optimizer: dict[str, Any]
    outcome: dict[str, Any]


def fingerprint(*parts: Any) -> str:
    """Of what makes a run that run (rows, plan, settings): another's checkpoint does not fit."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def save(folder: Path, step: int, state: State, *, belongs_to: str) -> None:
    """OSError when there is no room; what was there before is then untouched."""
    target = folder / f"step-{step:08d}"
    write_artifact(
        target,
        lambda place: torch.save(state, place / STATE),
        kind="checkpoint",
        facts={"step": step, "belongs_to": belongs_to},
    )
    for old in _newest_first(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def load_newest(folder: Path, *, belongs_to: str) -> State | None:
    """Return the state of the newest checkpoint that can be trusted; None where there is none. What
    cannot be used is removed, or it would displace a good one.
    """
    for place in _newest_first(folder):
        try:
            if verify(place)["facts"]["belongs_to"] == belongs_to:
                return _read(place)
        except (ArtifactError, OSError, RuntimeError, KeyError):
            pass
        shutil.rmtree(place, ignore_errors=True)
    return None


def kept_states(folder: Path) -> Iterator[tuple[int, Weights]]:
    """Yield step and weights of each checkpoint of the run that wrote the newest, newest first."""
    run = None
    for place in _newest_first(folder):
        try:
            facts = verify(place)["facts"]
            state = _read(place)
        except (ArtifactError, OSError, RuntimeError):
            continue
        run = run or facts["belongs_to"]
        if facts["belongs_to"] == run:
            yield facts["step"], state["weights"]


def _read(place: Path) -> State:
    """Read it as data: a checkpoint is never a program."""
    state: State = torch.load(place / STATE, weights_only=True, map_location="cpu")
    return state


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)
