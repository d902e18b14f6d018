"""What an export child is given to read, and the only thing that it reads it from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import JsonValue, TypeAdapter

from training.export.bundle.facts import ModelFacts
from training.progress import spec_from

MAX_ROWS = 300
DEFAULT_CONTEXT = 2048  # tokens


@dataclass(frozen=True)
class FileEntry:
    """A file as the manifest of its folder has it."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ExportSpec:
    version_folder: Path  # with merged/, gguf/ and mostly adapter/
    artifacts: list[str]  # names of bundle.artifacts
    test_file: Path  # JSON lines of messages
    metric: str
    out_dir: Path
    facts: ModelFacts
    recorded: dict[str, list[FileEntry]] = field(default_factory=dict)  # by folder, when made
    base_folder: Path | None = None  # an adapter needs it
    labels: list[str] | None = None
    system_prompt: str = ""
    context: int = DEFAULT_CONTEXT
    max_rows: int = MAX_ROWS
    base_license_file: Path | None = None

    def to_json(self) -> JsonValue:
        json: JsonValue = TypeAdapter(ExportSpec).dump_python(self, mode="json")
        return json

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """ChildError "bad_spec" says what is missing or of another type."""
        return spec_from(cls, json)
