"""Answers kept between evaluations: a base model answers the same to the same held-out rows.

An entry is named by everything its answers depend on. One that is damaged counts as missing.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from modelstation.lm.chat import Message
from training.scoring.generate import Generated

MOST_ENTRIES = 200


def entry_path(
    folder: Path,
    gguf: Path,
    tokenizer_folder: Path,
    prompts: Sequence[list[Message]],
    max_tokens: int,
) -> Path:
    """Where the answers of this very model file to these very prompts lie."""
    about = gguf.stat()
    template = tokenizer_folder / "chat_template.jinja"
    parts = [
        str(gguf.resolve()),
        about.st_size,
        about.st_mtime_ns,
        template.read_text(encoding="utf-8") if template.is_file() else "",
        list(prompts),
        max_tokens,
        version("xllamacpp"),
    ]
    digest = hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
    return folder / f"{digest}.json"


def read_entry(path: Path, rows: int) -> Generated | None:
    try:
        entry = Generated(**json.loads(path.read_text(encoding="utf-8")))
        return entry if len(entry.texts) == rows else None
    except (OSError, ValueError, TypeError):
        return None


def write_entry(path: Path, generated: Generated) -> None:
    """In one rename, so that a reader never sees half of it; the oldest entries make room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8"
    ) as stream:
        json.dump(asdict(generated), stream, ensure_ascii=False)
    os.replace(stream.name, path)
    entries = sorted(path.parent.glob("*.json"), key=lambda entry: entry.stat().st_mtime)
    for entry in entries[:-MOST_ENTRIES]:
        entry.unlink(missing_ok=True)
