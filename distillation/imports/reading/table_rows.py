"""CSV and Parquet to rows: a dict per row, by column name."""

import csv
import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.json_rows import UTF8_MARK, RawRow, Rows
from distillation.imports.reading.streams import ExpandingStream, Limits, head_of, lines_of

PARQUET_MAGIC = b"PAR1"
PARQUET_BATCH = 256
BUFFER_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 18
DELIMITERS = ",;\t|"


def read_csv(path: Path, limits: Limits) -> Rows:
    """Read with the delimiter that the header holds most; text that is not UTF-8 is cp1252."""
    csv.field_size_limit(limits.line_bytes)
    encoding, delimiter = csv_dialect(path, limits)
    with ExpandingStream(path, limits) as stream:
        source = DecodedLines(stream, path.name, limits, encoding)
        table = csv.reader(source, delimiter=delimiter, strict=True)
        header: list[str] = []
        while True:
            source.start_row()
            try:
                cells = next(table, None)
            except csv.Error as error:
                message = f"this row cannot be read ({error})."
                hint = "Check its quotes: each must be closed, and doubled inside a text."
                yield RowError(path.name, source.row_line, "", "broken_csv", message, hint)
                continue
            yield from source.take_errors()
            if cells is None:
                return
            if not header:
                header = [cell.strip() for cell in cells]
            elif len(cells) == len(header) and any(cells):
                yield RawRow(source.row_line, dict(zip(header, cells, strict=True)))
            elif any(cells):
                message = f"{len(cells)} columns, the header has {len(header)}."
                hint = "Put a text that holds the delimiter or a line break in double quotes."
                line = source.row_line
                yield RowError(path.name, line, "", "wrong_columns", message, hint, cells)


def csv_dialect(path: Path, limits: Limits) -> tuple[str, str]:
    with ExpandingStream(path, limits) as stream:
        sample = stream.read(SAMPLE_BYTES).removeprefix(UTF8_MARK)
    header = sample.split(b"\n", 1)[0].decode("latin-1")
    return encoding_of(sample), max(DELIMITERS, key=header.count)


def encoding_of(sample: bytes) -> str:
    """utf-8, unless the sample cannot be that; its last character may be cut in two."""
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        cut_at_the_end = error.reason == "unexpected end of data"
        return "utf-8" if cut_at_the_end else "cp1252"
    return "utf-8"


class DecodedLines(Iterator[str]):
    """Lines for csv.reader; one that cannot be decoded is passed over and its error kept."""

    def __init__(self, stream: ExpandingStream, file: str, limits: Limits, encoding: str) -> None:
        self._lines = lines_of(stream, file, limits)
        self._file, self._encoding = file, encoding
        self._errors: list[RowError] = []
        self.row_line = 0
        self._number = 0

    def start_row(self) -> None:
        self.row_line = self._number + 1

    def take_errors(self) -> list[RowError]:
        errors, self._errors = self._errors, []
        return errors

    def __next__(self) -> str:
        for item in self._lines:
            if isinstance(item, RowError):
                self._pass_over(item)
                continue
            self._number = item.number
            try:
                return item.data.removeprefix(UTF8_MARK).decode(self._encoding) + "\n"
            except UnicodeDecodeError:
                message, hint = f"the line is not {self._encoding} text.", "Save the file as UTF-8."
                row = item.data.decode(self._encoding, "replace")
                self._pass_over(
                    RowError(self._file, item.number, "", "broken_text", message, hint, row)
                )
        raise StopIteration

    def _pass_over(self, error: RowError) -> None:
        self._errors.append(error)
        self._number, self.row_line = error.line, error.line + 1


def read_parquet(path: Path, limits: Limits) -> Rows:
    import pyarrow

    table = open_parquet(path, limits)
    number = 0
    try:
        for batch in table.iter_batches(PARQUET_BATCH, columns=readable_columns(table)):
            for data in batch.to_pylist():
                number += 1
                yield RawRow(number, {name: plain(value) for name, value in data.items()})
    except (pyarrow.ArrowException, OSError) as error:
        raise broken_parquet(path) from error


def open_parquet(path: Path, limits: Limits) -> Any:
    import pyarrow
    from pyarrow import parquet

    if head_of(path) != PARQUET_MAGIC:
        message = "the name says Parquet, but the file does not begin with PAR1."
        hint = "Give it the ending of what it holds, for example .csv."
        raise ImportRefused(path.name, message, code="not_parquet", hint=hint)
    try:
        # Read through small buffers: else the columns of a whole row group, which may be the whole
        # file, are held at once.
        table = parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)
    except (pyarrow.ArrowException, OSError) as error:
        raise broken_parquet(path) from error
    groups = range(table.metadata.num_row_groups)
    expanded = sum(table.metadata.row_group(index).total_byte_size for index in groups)
    if expanded > limits.expanded_bytes:
        message, hint = f"it expands to {expanded / 1e6:,.0f} MB.", "Split it into smaller files."
        raise ImportRefused(path.name, message, code="expands_too_far", hint=hint)
    return table


def broken_parquet(path: Path) -> ImportRefused:
    message = "the Parquet file is cut off or damaged."
    return ImportRefused(path.name, message, code="broken_parquet", hint="Write it again.")


def readable_columns(table: Any) -> list[str]:
    """Bytes are no text; such a column is left unread."""
    from pyarrow import types

    return [
        field.name
        for field in table.schema_arrow
        if not (types.is_binary(field.type) or types.is_large_binary(field.type))
    ]


def plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    return value.isoformat() if isinstance(value, date) else value
