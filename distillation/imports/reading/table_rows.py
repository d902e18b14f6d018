"""CSV, Excel and Parquet to rows: a dict per row, by column name."""

import csv
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.guess import is_usual_name
from distillation.imports.reading.json_rows import UTF8_MARK, RawRow, Rows
from distillation.imports.reading.streams import ExpandingStream, Limits, head_of, lines_of

PARQUET_MAGIC = b"PAR1"
PARQUET_BATCH = 256
BUFFER_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 18
DELIMITERS = ",;\t|"
SEPARATOR_LINE = re.compile(r"sep=([,;\t|])")
SAMPLE_LINES, SAMPLE_ROWS = 60, 200
EVEN_SHARE = 0.9
# Of a workbook: its strings are held at once, and somebody may wait for the answer.
XLSX_BYTES, XLSX_ROWS = 256 << 20, 1_048_576
BROKEN_XLSX = (
    zipfile.BadZipFile, zlib.error, ParseError, LookupError, ValueError, TypeError, AttributeError,
    OSError, EOFError, RuntimeError,
)  # fmt: skip
WORDS_OF_NO_NAME = 4  # the name of a column is shorter


def read_csv(path: Path, limits: Limits) -> Rows:
    """Read with the delimiter that the header holds most; text that is not UTF-8 is cp1252."""
    csv.field_size_limit(limits.line_bytes)
    encoding, delimiter = csv_dialect(path, limits)
    with ExpandingStream(path, limits) as stream:
        source = DecodedLines(stream, path.name, limits, encoding)
        table = csv.reader(source, delimiter=delimiter, strict=True)
        header = numbered_header(first_cells(path, limits, encoding, delimiter))
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
                header = [] if is_separator_line(cells) else [cell.strip() for cell in cells]
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
    lines = sample.decode("latin-1").splitlines()[:SAMPLE_LINES]
    if lines and (stated := SEPARATOR_LINE.fullmatch(lines[0].strip())):
        return encoding_of(sample), stated[1]
    return encoding_of(sample), max(DELIMITERS, key=lambda mark: _fit(mark, lines))


def _fit(delimiter: str, lines: list[str]) -> tuple[bool, bool, int]:
    """Return whether nearly all lines have as many cells, and how many the first has. Of two that
    fit, it is the tab: texts hold commas, hardly ever tabs.
    """
    try:
        widths = Counter(len(cells) for cells in csv.reader(lines, delimiter=delimiter) if cells)
    except csv.Error:
        widths = Counter()
    width, rows = max(widths.items(), key=lambda item: item[1], default=(1, 0))
    is_even = width > 1 and rows >= EVEN_SHARE * widths.total()
    return is_even, is_even and delimiter == "\t", lines[0].count(delimiter) if lines else 0


def is_separator_line(cells: list[str]) -> bool:
    """Say whether it is Excel's own first line, such as `sep=;`, and no row."""
    return bool(cells) and len(cells) <= 2 and cells[0].strip().startswith("sep=")


def first_cells(path: Path, limits: Limits, encoding: str, delimiter: str) -> list[list[str]]:
    with ExpandingStream(path, limits) as stream:
        sample = stream.read(SAMPLE_BYTES).removeprefix(UTF8_MARK)
    lines = sample.decode(encoding, "replace").splitlines(keepends=True)
    try:
        table = csv.reader(lines, delimiter=delimiter)
        rows = list(islice((cells for cells in table if any(cells)), SAMPLE_ROWS))
    except csv.Error:
        return []
    return rows[1:] if rows and is_separator_line(rows[0]) else rows


def numbered_header(rows: list[list[str]]) -> list[str]:
    """Return names for the columns of a table whose first row is a row like the others; none where
    it is a header. Tables that are pasted often have no header.
    """
    first = [cell.strip() for cell in rows[0]] if rows else []
    if len(rows) < 2 or any(map(is_usual_name, first)):
        return []
    reads_like_text = len(first) > 1 and any(len(n.split()) >= WORDS_OF_NO_NAME for n in first)
    if not reads_like_text and not _comes_again(first, rows[1:]):
        return []
    return [f"column {number}" for number in range(1, len(first) + 1)]


def _comes_again(first: list[str], below: list[list[str]]) -> bool:
    """Say whether a value of the first row stands in the same column further down."""
    seen = {(n, cell.strip().casefold()) for cells in below for n, cell in enumerate(cells)}
    return any(name and (n, name.casefold()) in seen for n, name in enumerate(first))


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


def read_xlsx(path: Path, limits: Limits) -> Rows:
    """Yield the rows of the first sheet that has any."""
    book = open_xlsx(path, limits)
    try:
        yield from _first_sheet(book)
    except BROKEN_XLSX as error:
        raise broken_xlsx(path) from error


def _first_sheet(book: Any) -> Rows:
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # stated by the file: a row would be as wide as it says
        rows = sheet.iter_rows(values_only=True, max_row=XLSX_ROWS)
        cells = ([_cell(value) for value in row] for row in rows)
        numbered = ((number, row) for number, row in enumerate(cells, 1) if any(row))
        first = list(islice(numbered, SAMPLE_ROWS))
        if not first:
            continue
        header = numbered_header([row for _, row in first])
        for number, row in chain(first[not header :], numbered):
            names = header or first[0][1]
            data = dict(zip_longest(names, row[: len(names)], fillvalue=""))
            yield RawRow(number, {name: value for name, value in data.items() if name})
        return


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, date) else str(value)


def open_xlsx(path: Path, limits: Limits) -> Any:
    import openpyxl

    try:
        with zipfile.ZipFile(path) as archive:
            expanded = sum(member.file_size for member in archive.infolist())
        if expanded > min(limits.expanded_bytes, XLSX_BYTES):
            message, hint = (
                f"it expands to {expanded / 1e6:,.0f} MB.",
                "Split it into smaller files.",
            )
            raise ImportRefused(path.name, message, code="expands_too_far", hint=hint)
        return openpyxl.load_workbook(path, read_only=True, data_only=True)
    except ImportRefused:
        raise
    except BROKEN_XLSX as error:
        raise broken_xlsx(path) from error


def broken_xlsx(path: Path) -> ImportRefused:
    message = "this is no Excel workbook that can be read."
    hint = "Save it again as .xlsx, or as CSV."
    return ImportRefused(path.name, message, code="broken_xlsx", hint=hint)


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
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value
