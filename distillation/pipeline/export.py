"""A selection as files: JSONL for each split in OpenAI's chat form, one Parquet file of everything.

Try it: pytest distillation/tests/test_pipeline_export.py
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.pipeline.text import hash_messages
from distillation.pipeline.types import Message, SelectedRow, Selection

SPLITS = ("train", "valid", "test")
HELD_OUT = "held out by the user"


def dataset_digest(
    rows: Sequence[SelectedRow], held_out: Sequence[tuple[Message, ...]] = ()
) -> str:
    """sha256 over the sorted lines "split content_hash": same content, same digest, any machine."""
    lines = [f"{row.split} {row.content_hash}" for row in rows]
    lines += [f"test {hash_messages(messages)}" for messages in held_out]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def row_record(row: SelectedRow) -> dict[str, Any]:
    return {
        "messages": list(row.messages),
        "source": row.candidate.source,
        "task": row.candidate.task,
        "license": row.candidate.license,
        "score": round(row.score, 4),
        "reason": row.reason,
        "content_hash": row.content_hash,
    }


def held_out_record(messages: tuple[Message, ...]) -> dict[str, Any]:
    return {
        "messages": list(messages),
        "source": HELD_OUT,
        "task": "",
        "license": "",
        "score": 0.0,
        "reason": HELD_OUT,
        "content_hash": hash_messages(messages),
    }


def records_by_split(selection: Selection) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SPLITS}
    for row in selection.rows:
        found[row.split].append(row_record(row))
    found["test"] += [held_out_record(messages) for messages in selection.held_out]
    return found


def write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def write_parquet(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)


def write_dataset(folder: Path, selection: Selection) -> None:
    """train.jsonl, valid.jsonl, test.jsonl and dataset.parquet (with a `split` column)."""
    found = records_by_split(selection)
    for name, records in found.items():
        write_jsonl(folder / f"{name}.jsonl", records)
    everything = [{"split": name, **record} for name in SPLITS for record in found[name]]
    write_parquet(folder / "dataset.parquet", everything)


def dataset_facts(selection: Selection) -> dict[str, Any]:
    """What the manifest says of the dataset."""
    found = records_by_split(selection)
    return {
        "digest": selection.digest,
        "rows": len(selection.rows),
        "splits": {name: len(records) for name, records in found.items()},
        "sources": selection.sources,
        "licenses": dict(Counter(row.candidate.license for row in selection.rows).most_common()),
        "system_prompt": selection.intent.system_prompt,
        "funnel": [{"filter": s.name, "refused": s.refused} for s in selection.funnel],
    }
