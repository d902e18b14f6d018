"""A dataset as files: JSONL for each split in OpenAI's chat form, one Parquet file of everything.

Written from rows as they stand in the database, so that a dataset that is frozen at once and one
that people curated first come out alike.
Try it: pytest distillation/tests/pipeline/understand/test_row_format.py
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypedDict

from distillation.pipeline.text import hash_messages
from distillation.pipeline.types import Message

SPLITS = ("train", "valid", "test")
HELD_OUT = "held out by the user"
RECORDS_AT_ONCE = 5000

HeldOut = Sequence[tuple[Message, ...]]


class Dealt(Protocol):
    @property
    def split(self) -> str: ...
    @property
    def content_hash(self) -> str: ...


class DatasetRecord(Dealt, Protocol):
    messages: Any
    source_name: str
    task: str
    license: str
    score: float
    reason: str


def dataset_digest(rows: Iterable[Dealt], held_out: HeldOut = ()) -> str:
    """sha256 over the sorted lines "split content_hash": same content, same digest, any machine."""
    lines = [f"{row.split} {row.content_hash}" for row in rows]
    lines += [f"test {hash_messages(messages)}" for messages in held_out]
    return digest_of(lines)


def digest_of(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


class FileRecord(TypedDict):
    """A line of a dataset's files."""

    messages: list[Message]
    source: str
    task: str
    license: str
    score: float
    reason: str
    content_hash: str


def row_record(row: DatasetRecord) -> FileRecord:
    return {
        "messages": list(row.messages),
        "source": row.source_name,
        "task": row.task,
        "license": row.license,
        "score": round(row.score, 4),
        "reason": row.reason,
        "content_hash": row.content_hash,
    }


def held_out_record(messages: tuple[Message, ...]) -> FileRecord:
    return {
        "messages": list(messages),
        "source": HELD_OUT,
        "task": "",
        "license": "",
        "score": 0.0,
        "reason": HELD_OUT,
        "content_hash": hash_messages(messages),
    }


def write_dataset(folder: Path, rows: Iterable[DatasetRecord], held_out: HeldOut = ()) -> None:
    """train.jsonl, valid.jsonl, test.jsonl and dataset.parquet (with a `split` column), in one
    pass: a hundred thousand rows are never in memory together.
    """
    import pyarrow
    import pyarrow.parquet

    records = _records(rows, held_out)
    schema = _schema()
    with ExitStack() as stack:
        table = stack.enter_context(
            pyarrow.parquet.ParquetWriter(folder / "dataset.parquet", schema)
        )
        lines = {
            name: stack.enter_context((folder / f"{name}.jsonl").open("w", encoding="utf-8"))
            for name in SPLITS
        }
        while chunk := list(islice(records, RECORDS_AT_ONCE)):
            for split, record in chunk:
                lines[split].write(json.dumps(record, ensure_ascii=False) + "\n")
            columns = [{"split": split, **record} for split, record in chunk]
            table.write_table(pyarrow.Table.from_pylist(columns, schema=schema))


def _records(rows: Iterable[DatasetRecord], held_out: HeldOut) -> Iterator[tuple[str, FileRecord]]:
    for row in rows:
        yield row.split, row_record(row)
    for messages in held_out:
        yield "test", held_out_record(messages)


def _schema() -> Any:
    import pyarrow

    text = pyarrow.string()
    turn = pyarrow.struct([("role", text), ("content", text)])
    columns = {"split": text, "messages": pyarrow.list_(turn), "source": text, "task": text}
    columns |= {"license": text, "score": pyarrow.float64(), "reason": text, "content_hash": text}
    return pyarrow.schema(list(columns.items()))
