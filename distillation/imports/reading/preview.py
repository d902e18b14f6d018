"""A look at the beginning of a file: what it is, and what its first rows become. Stores nothing.

preview_file(Path("tickets.csv"), ReadOptions()).rows[0].messages
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.guess import guessed
from distillation.imports.reading.json_rows import RawRow, Rows
from distillation.imports.reading.readers import Reader, reader_of, refuse_unreadable
from distillation.imports.reading.rows import ExampleRow, ReadOptions, characters_of, to_examples
from distillation.imports.reading.shapes import ColumnMapping
from distillation.imports.reading.streams import GZIP_MAGIC, head_of
from distillation.logs.formats.unpack import unpacked

SHOWN_ROWS = 10
SHOWN_ERRORS = 20
LOOKED_AT_ROWS = 1_000
LOOKED_AT_CHARACTERS = 4_000_000
LOOKED_AT_BYTES = 256 << 20
MAX_COLUMNS = 100
DELIMITER_NAMES = {"": "", ",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}


@dataclass
class Preview:
    """`mapping` is how it is read: the columns, the name of the chat column, or None: unclear."""

    format: str = ""
    is_packed: bool = False
    encoding: str = ""
    delimiter: str = ""
    columns: dict[str, None] = field(default_factory=dict)  # in their order
    mapping: ColumnMapping | str | None = None
    reason: str = ""  # what it was decided by
    rows: list[ExampleRow] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    read: int = 0
    accepted: int = 0
    flags: dict[str, int] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)  # of the rows that were looked at
    log: str = ""  # which kind of log it holds
    is_whole: bool = False  # the counts are of the whole file, not of its beginning
    refusal: ImportRefused | None = None

    @property
    def rejected(self) -> int:
        return self.read - self.accepted

    @property
    def shape(self) -> str:
        if isinstance(self.mapping, ColumnMapping):
            parts = (self.mapping.system, self.mapping.user, self.mapping.context)
            known = [part for part in parts if part in self.columns]
            return f"{' + '.join(known)} → {self.mapping.assistant}"
        if self.log:
            return f"calls of a model, logged by {self.log}"
        return f"chat in “{self.mapping}”" if self.mapping else ""


def preview_file(path: Path, options: ReadOptions) -> Preview:
    preview = Preview(mapping=options.columns)
    try:
        reader = _describe(path, options, preview)
        limits = options.limits
        if not reader.states_its_size:  # at its end, and it is not read to there
            # Somebody waits for the answer: they shall not wait for gigabytes in one line.
            limits = replace(limits, expanded_bytes=LOOKED_AT_BYTES)
        raw = _watched(unpacked(reader.read(path, limits), path.name), preview)
        guess, raw = guessed(raw, options.columns)
        preview.mapping, preview.reason = guess.mapping, guess.reason
        for row in _beginning(to_examples(raw, path.name, options), preview):
            _count(row, preview)
    except ImportRefused as refusal:
        # Columns of unknown names are no reason to refuse a file: somebody can say what they hold.
        if refusal.code != "unknown_columns":
            preview.refusal = refusal
        preview.is_whole = True
    return preview


def _describe(path: Path, options: ReadOptions, preview: Preview) -> Reader:
    refuse_unreadable(path)
    reader = reader_of(path)
    preview.format = reader.name
    preview.is_packed = head_of(path).startswith(GZIP_MAGIC)
    preview.encoding, delimiter = reader.dialect(path, options.limits)
    preview.delimiter = DELIMITER_NAMES[delimiter]
    return reader


def _watched(rows: Rows, preview: Preview) -> Rows:
    for row in rows:
        if isinstance(row, RawRow):
            if len(preview.columns) < MAX_COLUMNS:
                preview.columns |= dict.fromkeys(islice(row.data, MAX_COLUMNS))
            preview.log = preview.log or row.log
        yield row


def _beginning(
    rows: Iterator[ExampleRow | RowError], preview: Preview
) -> Iterator[ExampleRow | RowError]:
    characters = 0
    for row in rows:
        yield row
        characters += characters_of(row)
        if preview.read >= LOOKED_AT_ROWS or characters >= LOOKED_AT_CHARACTERS:
            preview.is_whole = next(rows, None) is None
            return
    preview.is_whole = True


def _count(row: ExampleRow | RowError, preview: Preview) -> None:
    preview.read += 1
    if isinstance(row, RowError):
        preview.errors += [row] if len(preview.errors) < SHOWN_ERRORS else []
        return
    preview.accepted += 1
    preview.answers[row.messages[-1]["content"]] += 1
    for flag in row.flags:
        preview.flags[flag] = preview.flags.get(flag, 0) + 1
    preview.rows += [row] if len(preview.rows) < SHOWN_ROWS else []
