"""Rows of a log to chat rows, the kind of log told by what its rows hold; other rows pass as they
are. What an application answered was not checked by anybody: its provenance says so.

    for row in unpacked(read_rows(path, limits), path.name): ...
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from distillation.imports.reading.errors import BadRow, RowError
from distillation.imports.reading.json_rows import RawRow, Rows
from distillation.logs.formats import langfuse, openai, otel
from distillation.logs.formats.calls import Fields, LoggedCall, messages_of
from distillation.pipeline.provenance import Provenance

KNOWN_LOGS = (
    "requests with their responses as OpenAI has them, stored completions, results of batches, "
    "exports of Langfuse, OpenTelemetry GenAI traces"
)
ENVELOPE = {
    "object", "data", "meta", "first_id", "last_id", "has_more", "next_cursor",
}  # fmt: skip


@dataclass
class _Unpacking:
    """What must be known from one row to the next."""

    openai_log: openai.OpenAILog = field(default_factory=openai.OpenAILog)

    def kind_of(self, row: Fields) -> tuple[str, Callable[[Fields], list[LoggedCall]]] | None:
        if otel.is_log(row):
            return otel.NAME, otel.calls
        if langfuse.is_log(row):
            return langfuse.NAME, langfuse.calls
        if openai.is_log(row):
            return openai.NAME, self.openai_log.calls
        return None


def unpacked(rows: Rows, file: str) -> Rows:
    unpacking = _Unpacking()
    last = 0
    for row in rows:
        last = row.line
        if isinstance(row, RowError):
            yield row
            continue
        for data in _elements(row.data):
            yield from _unpack(RawRow(row.line, data), file, unpacking)
    if waiting := unpacking.openai_log.unanswered():
        message = f"{waiting:,} requests of a batch have no result."
        hint = "Add the file of results after that of the requests."
        yield BadRow("no_result", "custom_id", message, hint).at(file, last)


def _elements(row: Fields) -> Iterator[Fields]:
    """Return the rows of a page of an API, such as {"object": "list", "data": […]}."""
    held = row.get("data")
    if isinstance(held, list) and held and row.keys() <= ENVELOPE:
        yield from (item for item in held if isinstance(item, dict))
    else:
        yield row


def _unpack(row: RawRow, file: str, unpacking: _Unpacking) -> Rows:
    kind = unpacking.kind_of(row.data)
    if kind is None:
        yield row
        return
    name, read = kind
    try:
        calls = read(row.data)
    except BadRow as error:
        yield error.at(file, row.line, row.data)
        return
    for call in calls:
        try:
            yield _conversation(row.line, call, name)
        except BadRow as error:
            yield error.at(file, row.line, row.data)


def _conversation(line: int, call: LoggedCall, log: str) -> RawRow:
    provenance = Provenance(
        labelled_by="log", who=call.model[:120], external=call.id[:200], at=call.at[:40]
    )
    data: dict[str, Any] = {"messages": messages_of(call)}
    if call.id:
        data["id"] = call.id
    return RawRow(line, data, provenance, log)
