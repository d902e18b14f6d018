"""What `seed` knows by name: the starter corpus, and the hub datasets of sources.toml."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillation.imports.loading import Origin, rows_origin
from distillation.imports.reading.errors import ImportRefused
from distillation.imports.reading.json_rows import RawRow
from distillation.imports.reading.rows import ReadOptions, read_examples, to_examples
from distillation.imports.reading.shapes import ColumnMapping
from distillation.imports.reading.table_rows import plain

CONFIG = Path(__file__).parent / "sources.toml"
STARTER = "starter"
# Generated: `python -m tools.starter` writes it.
STARTER_FILE = Path(__file__).parents[1] / "starter/starter.jsonl.gz"


@dataclass(frozen=True)
class HubSource:
    """One dataset on the hub, at one revision, and how its columns become messages."""

    name: str
    hub_id: str
    revision: str
    license: str
    split: str = "train"
    config: str = ""
    task: str = ""
    task_column: str = ""
    columns: ColumnMapping | None = None


def hub_sources(config: Path = CONFIG) -> dict[str, HubSource]:
    tables = tomllib.loads(config.read_text())
    return {name: hub_source(name, table) for name, table in tables.items()}


def hub_source(name: str, table: Mapping[str, Any]) -> HubSource:
    facts = {key: value for key, value in table.items() if key not in ("columns", "labels")}
    if columns := table.get("columns"):
        facts["columns"] = ColumnMapping(**columns, labels=tuple(table.get("labels", ())))
    return HubSource(name, **facts)


def source_names() -> list[str]:
    return [STARTER, *hub_sources()]


def named_origin(name: str) -> Origin:
    if name == STARTER:
        return rows_origin(STARTER, lambda: read_examples(STARTER_FILE, ReadOptions()))
    return hub_origin(hub_sources()[name])


def hub_origin(source: HubSource) -> Origin:
    options = ReadOptions(
        source=source.name,
        license=source.license,
        task=source.task,
        task_column=source.task_column,
        columns=source.columns,
    )
    return rows_origin(
        source.hub_id,
        lambda: to_examples(hub_rows(source), source.hub_id, options),
        source.revision,
    )


def hub_rows(source: HubSource) -> Iterator[RawRow]:
    """Needs a network, or the dataset in the local cache of `datasets`."""
    from datasets import load_dataset

    try:
        rows = load_dataset(
            source.hub_id, source.config or None, split=source.split, revision=source.revision
        )
    except (OSError, ValueError) as error:
        message = f"the hub did not give it ({type(error).__name__})."
        hint = "Check the network, or download a file and give its path instead."
        raise ImportRefused(source.hub_id, message, code="hub_unavailable", hint=hint) from error
    for number, row in enumerate(rows, 1):
        yield RawRow(number, {name: plain(value) for name, value in row.items()})
