"""Bytes of a file that may lie about its size: counted while they expand, given line by line."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from distillation.imports.reading.errors import ImportRefused, RowError

GZIP_MAGIC = b"\x1f\x8b"
SKIP_BYTES = 1 << 20


@dataclass(frozen=True)
class Limits:
    """A row longer than `line_bytes` is left out; a file past the others is refused."""

    line_bytes: int = 4 << 20
    expanded_bytes: int = 8 << 30
    # Text packs 3 to 20 times; the ratio counts only past a size that could hurt.
    expansion_ratio: int = 200
    ratio_from_bytes: int = 64 << 20


class ExpandingStream:
    """Reads a plain or gzip file and refuses it as soon as it grows past the limits."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._packed_bytes = path.stat().st_size
        self._file = open_bytes(path)
        self._expanded_bytes = 0

    def __enter__(self) -> "ExpandingStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        return self._counted(lambda: self._file.read(size))

    def readline(self, size: int) -> bytes:
        return self._counted(lambda: self._file.readline(size))

    def _counted(self, read: Callable[[], bytes]) -> bytes:
        try:
            data = read()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            message = "the compressed file is cut off or damaged."
            hint = "Copy or export it again; `gzip -t` checks it."
            name = self._path.name
            raise ImportRefused(name, message, code="broken_gzip", hint=hint) from error
        self._expanded_bytes += len(data)
        self._refuse_bomb()
        return data

    def _refuse_bomb(self) -> None:
        limits, expanded = self._limits, self._expanded_bytes
        swollen = expanded > limits.ratio_from_bytes and (
            expanded > limits.expansion_ratio * self._packed_bytes
        )
        if swollen or expanded > limits.expanded_bytes:
            packed = self._packed_bytes / 1e6
            message = f"{packed:.1f} MB expand to more than {expanded / 1e6:,.0f} MB."
            hint = "If it is real data, unpack it, remove repeated rows and split it."
            raise ImportRefused(self._path.name, message, code="expands_too_far", hint=hint)


def open_bytes(path: Path) -> BinaryIO:
    if head_of(path).startswith(GZIP_MAGIC):
        return cast(BinaryIO, io.BufferedReader(gzip.open(path), 1 << 20))
    return path.open("rb", buffering=1 << 20)


def head_of(path: Path, size: int = 4) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


@dataclass(frozen=True)
class Line:
    number: int
    data: bytes  # without the end of line


def lines_of(stream: ExpandingStream, file: str, limits: Limits) -> Iterator[Line | RowError]:
    """Lines counted from 1; one that is too long is passed over and never held whole."""
    number = 0
    while data := stream.readline(limits.line_bytes + 1):
        number += 1
        if len(data) > limits.line_bytes and not data.endswith(b"\n"):
            length = len(data) + pass_over_line(stream)
            most = f"at most {limits.line_bytes / 1e6:.1f} MB are read."
            message = f"{length / 1e6:.1f} MB in one line, {most}"
            hint = "Write one row per line, and split very long texts."
            yield RowError(file, number, "", "line_too_long", message, hint)
        else:
            yield Line(number, data.rstrip(b"\r\n"))


def pass_over_line(stream: ExpandingStream) -> int:
    passed = 0
    while data := stream.readline(SKIP_BYTES):
        passed += len(data)
        if data.endswith(b"\n"):
            break
    return passed
