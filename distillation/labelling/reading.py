"""Unlabelled inputs from a file or a pasted text: one per line, or one column of a table."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from django.conf import settings

from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.json_rows import RawRow
from distillation.imports.reading.readers import KNOWN_KINDS, is_known, read_rows, refuse_unreadable
from distillation.imports.reading.streams import ExpandingStream, Limits, lines_of
from distillation.imports.reading.text import clean, is_blank
from distillation.imports.uploads import ReceivedFile, safe_name
from distillation.limits import TEXT_CHARS

MOST_INPUTS = 20_000  # of a model
LIMITS = Limits(line_bytes=1 << 20, expanded_bytes=256 << 20)
LOOKED_AT_ROWS = 200
USUAL_NAMES = (
    "input", "text", "message", "body", "content", "prompt", "question", "query", "review",
    "comment", "utterance", "sentence", "description", "ticket", "email", "mail", "messages",
)  # fmt: skip
TEXT_FILE = ".txt"


@dataclass
class Inputs:
    """Texts in their order, and what was left out."""

    texts: list[str] = field(default_factory=list)
    column: str = ""  # empty: the lines of a text
    blank: int = 0
    too_long: int = 0
    unreadable: int = 0
    is_cut: bool = False  # the file goes on beyond what is taken


def inputs_of_file(file: ReceivedFile, column: str = "") -> Inputs:
    """Read an uploaded file, which is not kept, under its own name: the readers go by its ending,
    and errors name it.
    """
    file.flush()
    incoming = Path(settings.UPLOADS_DIR) / "incoming"
    with tempfile.TemporaryDirectory(dir=incoming) as folder:
        path = Path(folder) / safe_name(file.name or "")
        os.link(file.temporary_file_path(), path)
        return read_inputs(path, column)


def read_inputs(path: Path, column: str = "") -> Inputs:
    """Read at most MOST_INPUTS. Raise ImportRefused, a sentence, for a file of no use."""
    refuse_unreadable(path)
    inputs = Inputs()
    if path.suffix.lower() == TEXT_FILE:
        _take(inputs, _lines(path))
    elif is_known(path):
        rows = read_rows(path, LIMITS)
        first = list(islice(rows, LOOKED_AT_ROWS))
        inputs.column = column or guess_column([r.data for r in first if isinstance(r, RawRow)])
        _take(inputs, _cells(path.name, chain(first, rows), inputs.column))
    else:
        message, hint = "this kind of file is not known.", f"Use .txt, {KNOWN_KINDS}."
        raise ImportRefused(path.name, message, code="unknown_file_type", hint=hint)
    if not inputs.texts:
        message, hint = "no input could be read from it.", "One input is a line, or a cell."
        raise ImportRefused(path.name, message, code="no_usable_rows", hint=hint)
    return inputs


def pasted_inputs(text: str) -> Inputs:
    """Return one input per line."""
    inputs = Inputs()
    _take(inputs, iter(text.replace("\r\n", "\n").split("\n")))
    inputs.blank = 0  # of a pasted text, a blank line is no lost input
    return inputs


def guess_column(rows: list[dict[str, Any]]) -> str:
    """Return the usual name that the rows have, else the column with the longest texts."""
    names = {name.strip().casefold(): name for row in rows for name in row}
    for usual in USUAL_NAMES:
        if usual in names:
            return names[usual]
    lengths = {
        name: sum(len(row.get(name) or "") for row in rows if isinstance(row.get(name), str))
        for name in names.values()
    }
    return max(lengths, key=lambda name: lengths[name], default="")


def _lines(path: Path) -> Iterator[str | None]:
    with ExpandingStream(path, LIMITS) as stream:
        for item in lines_of(stream, path.name, LIMITS):
            if isinstance(item, RowError):
                yield None
                continue
            if b"\x00" in item.data:
                message, hint = "this is no text but binary data.", "Save it as UTF-8 text."
                raise ImportRefused(path.name, message, code="not_text", hint=hint)
            yield item.data.decode("utf-8", "replace")


def _cells(file: str, rows: Iterable[RawRow | RowError], column: str) -> Iterator[str | None]:
    """None for a row that could not be read."""
    for row in rows:
        yield None if isinstance(row, RowError) else _text(row.data.get(column))


def _text(value: Any) -> str | None:
    if isinstance(value, list):  # of chat messages: what the user said last
        turns = [turn for turn in value if isinstance(turn, dict) and turn.get("role") == "user"]
        value = turns[-1].get("content") if turns else ""
    if value is None or isinstance(value, str):
        return value or ""
    return str(value) if isinstance(value, int | float) else None


def _take(inputs: Inputs, texts: Iterator[str | None]) -> None:
    for text in texts:
        if len(inputs.texts) >= MOST_INPUTS:
            inputs.is_cut = True
            return
        take(inputs, text)


def take(inputs: Inputs, text: str | None) -> None:
    """Count one text, or keep it, cleaned."""
    said = None if text is None else clean(text)[0]
    if said is None:
        inputs.unreadable += 1
    elif is_blank(said):
        inputs.blank += 1
    elif len(said) > TEXT_CHARS:
        inputs.too_long += 1
    else:
        inputs.texts.append(said)


def taken(texts: Iterable[str]) -> Inputs:
    """Return the texts that an API call brings."""
    inputs = Inputs()
    _take(inputs, iter(texts))
    return inputs
