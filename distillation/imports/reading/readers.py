"""Files to plain rows, streamed: JSONL, a JSON array, CSV (each plain or gzip), Excel and Parquet.

A row that cannot be read becomes a RowError and the next one is read; a file that is of no use at
all raises ImportRefused. Lines count from 1; in Parquet it is the row's number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distillation.imports.reading.errors import ImportRefused
from distillation.imports.reading.json_rows import (
    UTF8_MARK,
    Rows,
    is_complete,
    read_json_array,
    read_json_object,
    read_jsonl,
)
from distillation.imports.reading.streams import ExpandingStream, Limits, head_of
from distillation.imports.reading.table_rows import (
    csv_dialect,
    open_parquet,
    open_xlsx,
    read_csv,
    read_parquet,
    read_xlsx,
)

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Reader:
    """One kind of file. `dialect` gives its encoding and delimiter, as far as it has them."""

    name: str
    read: Callable[[Path, Limits], Rows]
    dialect: Callable[[Path, Limits], tuple[str, str]] = lambda *_: ("utf-8", "")
    check: Callable[[Path, Limits], object] = lambda *_: None  # raises for a file of no use
    states_its_size: bool = False


JSON_LINES = Reader("JSON lines", read_jsonl)
CSV = Reader("CSV", read_csv, dialect=csv_dialect)
PARQUET = Reader(
    "Parquet", read_parquet, dialect=lambda *_: ("", ""), check=open_parquet, states_its_size=True
)
XLSX = Reader(
    "Excel workbook", read_xlsx, dialect=lambda *_: ("", ""), check=open_xlsx, states_its_size=True
)
READERS = {
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".json": Reader("JSON array", read_json_array),
    ".csv": CSV,
    ".tsv": CSV,
    ".xlsx": XLSX,
    ".parquet": PARQUET,
}
JSON_OBJECT = Reader("JSON object", read_json_object)
KNOWN_KINDS = ", ".join(READERS)


def read_rows(path: Path, limits: Limits) -> Rows:
    refuse_unreadable(path)
    return reader_of(path).read(path, limits)


def reader_of(path: Path) -> Reader:
    """Tell an array, one object per line and one object over many lines apart in a .json file."""
    if not is_known(path):
        message = "this kind of file is not known."
        hint = f"Use {KNOWN_KINDS}, each but Excel and Parquet also as .gz."
        raise ImportRefused(path.name, message, code="unknown_file_type", hint=hint)
    if (ending := ending_of(path)) != ".json":
        return READERS[ending]
    with ExpandingStream(path, Limits()) as stream:
        head = stream.readline(Limits().line_bytes).removeprefix(UTF8_MARK).strip()
        while not head and (line := stream.readline(Limits().line_bytes)):
            head = line.strip()
    if head.startswith(b"["):
        return READERS[".json"]
    return JSON_LINES if is_complete(head) else JSON_OBJECT


def ending_of(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def is_known(path: Path) -> bool:
    return ending_of(path) in READERS


def refuse_unreadable(path: Path) -> None:
    if not path.is_file():
        raise ImportRefused(
            path.name, "there is no such file.", code="no_file", hint="Check the path."
        )
    head = head_of(path)
    if not head:
        raise ImportRefused(
            path.name, "the file is empty.", code="empty_file", hint="Export it again, with rows."
        )
    if head.startswith(UTF16_MARKS):
        message = "the text is encoded as UTF-16."
        hint = "Save it as UTF-8 and import it again."
        raise ImportRefused(path.name, message, code="wrong_encoding", hint=hint)
