"""JSON to rows: one object per line, or the elements of one array without holding the array."""

import codecs
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillation.imports.reading.errors import BadRow, ImportRefused, RowError
from distillation.imports.reading.streams import ExpandingStream, Limits, lines_of
from distillation.pipeline.provenance import Provenance

UTF8_MARK = b"\xef\xbb\xbf"
CHUNK_BYTES = 1 << 20
OBJECT_BYTES = 64 << 20  # of a file that is one object, which is held whole


@dataclass(frozen=True)
class RawRow:
    line: int
    data: dict[str, Any]
    provenance: Provenance = Provenance()  # where what was logged came from
    log: str = ""  # which kind of log it was unpacked from


Rows = Iterator[RawRow | RowError]


@dataclass(frozen=True)
class TwiceGiven:
    """Stands for an object in which one key occurs twice: nobody knows which of them is meant."""

    key: str


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any] | TwiceGiven:
    data = dict(pairs)
    if len(data) == len(pairs):
        return data
    keys = [key for key, _ in pairs]
    return TwiceGiven(next(key for key in keys if keys.count(key) > 1))


# NaN and Infinity are no JSON and jsonb refuses them: they count as not given.
DECODER = json.JSONDecoder(object_pairs_hook=unique_keys, parse_constant=lambda _: None)


def row_or_error(
    file: str, line: int, parse: Callable[[], dict[str, Any]], row: Any
) -> RawRow | RowError:
    try:
        return RawRow(line, parse())
    except BadRow as error:
        shown = row.decode("utf-8", "replace") if isinstance(row, bytes) else row
        return error.at(file, line, shown)


def an_object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, TwiceGiven):
        hint = "Keep one of them."
        raise BadRow("duplicate_key", value.key[:80], "this field is given twice.", hint)
    kind = {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number")
    raise BadRow("not_an_object", "", f"{kind} instead of an object.", 'A row is {"field": value}.')


def read_jsonl(path: Path, limits: Limits) -> Rows:
    with ExpandingStream(path, limits) as stream:
        for item in lines_of(stream, path.name, limits):
            if isinstance(item, RowError):
                yield item
            elif data := item.data.removeprefix(UTF8_MARK).strip():
                yield row_or_error(path.name, item.number, lambda data=data: parse_line(data), data)  # type: ignore[misc]


def parse_line(data: bytes) -> dict[str, Any]:
    try:
        value = DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"byte {error.start + 1} of the line is not UTF-8."
        raise BadRow("broken_utf8", "", message, "Save the file as UTF-8.") from error
    except (RecursionError, ValueError) as error:
        message = f"this is not JSON that can be read: {reason(error)}."
        hint = "Write one complete JSON object per line, in double quotes."
        raise BadRow("broken_json", "", message, hint) from error
    return an_object(value)


def is_complete(data: bytes) -> bool:
    """Return True for what can be read, or is broken otherwise than by having no end."""
    try:
        parse_line(data)
    except BadRow:
        return not data.startswith(b"{") or data.endswith(b"}")
    return True


def reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, at character {error.pos + 1}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a number has too many digits"


def read_json_object(path: Path, limits: Limits) -> Rows:
    """Yield the one object that the file is, however it is laid out."""
    most = min(OBJECT_BYTES, limits.expanded_bytes)
    with ExpandingStream(path, limits) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        message = f"it is one object of more than {most / 1e6:.0f} MB."
        hint = "Write one JSON object per line as .jsonl, or split it."
        raise ImportRefused(path.name, message, code="object_too_large", hint=hint)
    yield row_or_error(path.name, 1, lambda: parse_line(data.removeprefix(UTF8_MARK)), data[:4096])


def read_json_array(path: Path, limits: Limits) -> Rows:
    """Yield rows with the line that each element starts on; refuse a broken array whole."""
    with ExpandingStream(path, limits) as stream:
        window = ArrayWindow(stream, path.name, limits)
        window.expect("[")
        while window.peek() != "]":
            line = window.line
            value = window.element()
            yield row_or_error(path.name, line, lambda value=value: an_object(value), value)  # type: ignore[misc]
            if window.peek() != "]":
                window.expect(",")


class ArrayWindow:
    """The part of an array's text at hand; it moves on as elements are taken."""

    def __init__(self, stream: ExpandingStream, file: str, limits: Limits) -> None:
        self._stream, self._file, self._limits = stream, file, limits
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at = "", 0
        self.line = 1

    def peek(self) -> str:
        """Return the next character that is not white space."""
        while True:
            while self._at < len(self._text) and self._text[self._at].isspace():
                self._advance(self._at + 1)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                raise self._broken("the array has no end")

    def expect(self, char: str) -> None:
        if self.peek() != char:
            raise self._broken(f"expected {char!r}")
        self._advance(self._at + 1)

    def element(self) -> Any:
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # It may only be cut off at the edge of the window.
                waiting = len(self._text) - self._at
                if waiting > self._limits.line_bytes or not self._fill():
                    raise self._broken(error.msg) from error
                continue
            except (RecursionError, ValueError) as error:
                raise self._broken(reason(error)) from error
            self._advance(end)
            return value

    def _advance(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def _fill(self) -> bool:
        data = self._stream.read(CHUNK_BYTES)
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise self._broken("the text is not UTF-8") from error
        self._text, self._at = self._text[self._at :] + text, 0
        return bool(data)

    def _broken(self, why: str) -> ImportRefused:
        message = f"this is not a JSON array that can be read: {why}, near line {self.line}."
        hint = "Correct it there, or write one JSON object per line as .jsonl."
        return ImportRefused(self._file, message, code="broken_json", hint=hint)
