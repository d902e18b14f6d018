"""The collection of requirements with what is right about each; see CONTRIBUTING.md."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from distillation.pipeline.types import Example, Requirement

FOLDER = Path(__file__).parents[2] / "distillation/pipeline/understand/collection"
DEVELOPMENT, HELD_OUT = FOLDER / "development.jsonl", FOLDER / "held_out.jsonl"


@dataclass(frozen=True)
class Case:
    """One requirement. `labels` and `json_keys` are None where it does not determine them."""

    id: str
    requirement: str
    kind: str
    language: str = ""  # of the text; empty: unknown
    objective: str = ""
    policy: str = ""
    examples: tuple[Example, ...] = ()
    labels: tuple[str, ...] | None = None
    labels_where: str = "none"
    label_descriptions: dict[str, str] = field(default_factory=dict)
    json_keys: tuple[str, ...] | None = None
    keys_where: str = "none"
    input_language: str | None = None  # None: not judged

    @property
    def as_requirement(self) -> Requirement:
        return Requirement(self.requirement, self.objective, self.policy, self.examples)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """What the list of each target must hold; empty where there is none."""
        return {
            "labels": (self.labels or ()) if self.kind == "classify" else (),
            "keys": (self.json_keys or ()) if self.kind == "extract_json" else (),
        }


def cases_in(path: Path) -> Iterator[Case]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield case_of(json.loads(line))


def case_of(stored: dict[str, Any]) -> Case:
    known = {each.name for each in fields(Case)}
    values = {name: value for name, value in stored.items() if name in known}
    values["examples"] = tuple(
        Example(pair["input"], pair["output"]) for pair in stored.get("examples") or ()
    )
    for name in ("labels", "json_keys"):
        values[name] = tuple(stored[name]) if stored.get(name) else None
    return Case(**values)
