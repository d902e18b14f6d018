"""Files to plain rows, streamed: JSONL, a JSON array, CSV (each plain or gzip) and Parquet.

A row that cannot be read becomes a RowError and the next one is read; a file that is of no use at
all raises ImportRefused. Lines count from 1; in Parquet it is the row's number.
"""

from pathlib import Path

from distillation.imports.reading.errors import ImportRefused
from distillation.imports.reading.json_rows import UTF8_MARK, Rows, read_json_array, read_jsonl
from distillation.imports.reading.streams import ExpandingStream, Limits, head_of
from distillation.imports.reading.table_rows import read_csv, read_parquet

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

READERS = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json_array,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}


def read_rows(path: Path, limits: Limits) -> Rows:
    refuse_unreadable(path)
    return READERS[ending_of(path)](path, limits)


def is_known(path: Path) -> bool:
    return Path(path.name.lower().removesuffix(".gz")).suffix in READERS


def ending_of(path: Path) -> str:
    """A .json file that does not start an array holds one object per line."""
    if not is_known(path):
        raise ImportRefused(
            path.name,
            "this kind of file is not known.",
            code="unknown_file_type",
            hint="Use .jsonl, .jsonl.gz, .json (an array), .csv or .parquet.",
        )
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    return ".jsonl" if ending == ".json" and not starts_with_array(path) else ending


def starts_with_array(path: Path) -> bool:
    with ExpandingStream(path, Limits()) as stream:
        return stream.read(4096).removeprefix(UTF8_MARK).lstrip().startswith(b"[")


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
        raise ImportRefused(
            path.name,
            "the text is encoded as UTF-16.",
            code="wrong_encoding",
            hint="Save it as UTF-8 and import it again.",
        )
