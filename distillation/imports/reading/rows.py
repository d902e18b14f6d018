"""Files to rows of one schema, and the look at a file before anything of it is stored.

for row in read_examples(Path("tickets.csv"), ReadOptions(license="CC0-1.0")): ...
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from distillation.imports.reading.errors import BadRow, ImportRefused, RowError
from distillation.imports.reading.flags import flags_of, tidied
from distillation.imports.reading.guess import guessed
from distillation.imports.reading.json_rows import RawRow
from distillation.imports.reading.language import language_of
from distillation.imports.reading.readers import read_rows
from distillation.imports.reading.shapes import (
    KNOWN_SHAPES,
    ColumnMapping,
    guess_mapping,
    refuse_blank_turns,
    to_conversation,
)
from distillation.imports.reading.streams import Limits
from distillation.imports.reading.text import Message, clean
from distillation.limits import NAME_CHARS, TASK_CHARS
from distillation.logs.formats.unpack import KNOWN_LOGS, unpacked
from distillation.pipeline.licenses import UNKNOWN
from distillation.pipeline.provenance import Provenance
from distillation.pipeline.text import hash_messages, input_text

KEPT_ERRORS = 100
ID_BITS = 1 << 27  # 16 MB, touched only where an id falls
ID_PROBES = 2


@dataclass(frozen=True)
class ReadOptions:
    """What the caller knows about a file. `source` and `license` win over what its rows say;
    `default_license` and `task` are for rows that say nothing.

    Rows are stored as they are unless `clean_markup` or `redact` says otherwise.
    """

    source: str = ""
    license: str = ""
    default_license: str = UNKNOWN
    task: str = ""
    task_column: str = "task"
    columns: ColumnMapping | None = None
    limits: Limits = field(default_factory=Limits)
    clean_markup: bool = False  # HTML to the text that a reader would have seen
    redact: bool = False  # personal data to its kind in brackets


@dataclass(frozen=True)
class ExampleRow:
    line: int
    messages: list[Message]
    source: str
    task: str
    license: str
    external_id: str
    content_hash: str
    flags: frozenset[str]
    provenance: Provenance = Provenance()

    @property
    def language(self) -> str:
        """ISO 639-1 of its input, computed on access: most readings of a file do not need it."""
        return language_of(input_text(self.messages))


@dataclass
class Inspection:
    """One reading of all rows: they can be loaded, and this is what will come of it."""

    sha256: str = ""
    read: int = 0
    accepted: int = 0
    rejected: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    errors: list[RowError] = field(default_factory=list)  # the first hundred


def read_examples(path: Path, options: ReadOptions) -> Iterator[ExampleRow | RowError]:
    """Streamed: one row in memory at a time. Raises ImportRefused for a file that is no use."""
    rows = unpacked(read_rows(path, options.limits), path.name)
    return to_examples(rows, path.name, options)


def to_examples(
    rows: Iterable[RawRow | RowError], file: str, options: ReadOptions
) -> Iterator[ExampleRow | RowError]:
    """Take the shape of the file from its first rows, else from the first whose shape is known."""
    guess, rows = guessed(rows, options.columns)
    mapping = guess.mapping
    unknown: RawRow | None = None
    ids = SeenIds()
    for row in rows:
        if isinstance(row, RowError):
            yield row
            continue
        mapping = mapping or guess_mapping(row.data)
        if mapping is None:
            unknown = unknown or row
            yield unknown_shape(row).at(file, row.line, row.data)
            continue
        try:
            yield with_own_id(to_example(row, mapping, file, options), ids)
        except BadRow as error:
            yield error.at(file, row.line, row.data)
    if mapping is None and unknown is not None:
        raise unknown_columns(unknown, file)


def to_example(
    row: RawRow, mapping: ColumnMapping | str, file: str, options: ReadOptions
) -> ExampleRow:
    conversation = to_conversation(row.data, mapping)
    messages, done = tidied(
        conversation.messages,
        clean_markup=options.clean_markup,
        redact_personal_data=options.redact,
    )
    refuse_blank_turns(messages)
    license_name = (
        options.license or fact(row.data, "license", NAME_CHARS) or options.default_license
    )
    digest = hash_messages(messages)
    return ExampleRow(
        line=row.line,
        messages=messages,
        source=options.source or fact(row.data, "source", NAME_CHARS) or file.split(".")[0],
        task=fact(row.data, options.task_column, TASK_CHARS) or options.task,
        license=license_name,
        external_id=fact(row.data, "id", TASK_CHARS) or digest[:16],
        content_hash=digest,
        flags=conversation.flags | done | flags_of(messages, license_name),
        provenance=row.provenance,
    )


class SeenIds:
    """Which ids a file has given already, in a Bloom filter: no id that was seen is ever taken for
    new. Of a million different ids about one in fifteen thousand is taken for seen, and so gets a
    longer name than it needs.
    """

    def __init__(self) -> None:
        self._bits = bytearray(ID_BITS // 8)

    def add(self, name: str) -> bool:
        """Return True when it is new."""
        digest = blake2b(name.encode("utf-8"), digest_size=8 * ID_PROBES).digest()
        places = [int.from_bytes(digest[8 * n : 8 * n + 8]) % ID_BITS for n in range(ID_PROBES)]
        is_new = any(not self._bits[place >> 3] & (1 << (place & 7)) for place in places)
        for place in places:
            self._bits[place >> 3] |= 1 << (place & 7)
        return is_new


def with_own_id(row: ExampleRow, ids: SeenIds) -> ExampleRow:
    """Add the row's hash to an id that the file gave before, so that it names one text."""
    is_made_of_its_text = row.external_id == row.content_hash[:16]
    if is_made_of_its_text or ids.add(row.external_id):
        return row
    own = f"{row.external_id[:180]}#{row.content_hash[:12]}"
    return replace(row, external_id=own, flags=row.flags | {"repeated_id"})


def fact(data: Mapping[str, Any], column: str, longest: int) -> str:
    """Return a short text or number that describes a row; anything else counts as not given."""
    value = data.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return clean(str(value))[0][:longest]


def characters_of(row: ExampleRow | RowError) -> int:
    """About how much of the memory it takes: rows are counted out by it where they are held."""
    if isinstance(row, ExampleRow):
        return sum(len(message["content"]) for message in row.messages)
    return len(str(row.row))


def unknown_shape(row: RawRow) -> BadRow:
    message = f"no question and answer found in the fields {names(row)}."
    return BadRow("unknown_shape", "", message, f"Known: {KNOWN_SHAPES}; and logs: {KNOWN_LOGS}.")


def unknown_columns(row: RawRow, file: str) -> ImportRefused:
    message = f"no row has a shape that is known; line {row.line} has the fields {names(row)}."
    hint = (
        "Say which columns hold question and answer, or use one of: "
        f"{KNOWN_SHAPES}; or a log: {KNOWN_LOGS}."
    )
    return ImportRefused(file, message, code="unknown_columns", hint=hint)


def names(row: RawRow) -> str:
    return ", ".join(str(name)[:40] for name in list(row.data)[:12]) or "(none)"


def inspect_file(path: Path, options: ReadOptions) -> Inspection:
    """Read all of it and store nothing, so that a file is refused before half of it is loaded."""
    look = inspect_rows(read_examples(path, options), path.name)
    look.sha256 = sha256_of(path)
    return look


def inspect_rows(rows: Iterable[ExampleRow | RowError], name: str) -> Inspection:
    """Raise ImportRefused when no row is of use. `sha256` is of the accepted contents in order."""
    look = tally(rows)
    if not look.accepted:
        raise nothing_usable(name, look)
    return look


def tally(rows: Iterable[ExampleRow | RowError]) -> Inspection:
    look, digest = Inspection(), hashlib.sha256()
    for row in rows:
        look.read += 1
        if isinstance(row, RowError):
            look.rejected += 1
            look.errors += [row] if len(look.errors) < KEPT_ERRORS else []
        else:
            look.accepted += 1
            look.flags.update(row.flags)
            digest.update(row.content_hash.encode())
    look.sha256 = digest.hexdigest()
    return look


def nothing_usable(file: str, look: Inspection) -> ImportRefused:
    if not look.errors:
        return ImportRefused(
            file, "there are no rows in it.", code="no_rows", hint="Export it again, with rows."
        )
    message = f"none of its {look.read} rows can be used. The first: {look.errors[0]}"
    hint = "Correct the rows and import the file again."
    return ImportRefused(file, message, code="no_usable_rows", hint=hint)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
