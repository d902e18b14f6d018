"""The rows of a file of /v1/files, read by the importer's readers, and stricter than an import:
nothing is left out in silence, because what was uploaded is what is trained on.

    for row in read_lines(Path("train.jsonl")): ...    # ExampleRow | RowError

A chat row may carry tools. They are written as Qwen's and Hermes' templates write them, since a
small model's own template has no place for them: definitions in the system turn, calls as
<tool_call> in the answer, results as <tool_response> in the turn of the user.

A conversation with several answers is several rows, one after the other: each answer is learnt,
with what was said before as its context. One with weight 0 is context alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from distillation.imports.reading.errors import BadRow, ImportRefused, RowError
from distillation.imports.reading.json_rows import RawRow, Rows
from distillation.imports.reading.readers import read_rows
from distillation.imports.reading.rows import ExampleRow, ReadOptions, to_examples
from distillation.imports.reading.shapes import CHAT_COLUMNS, MAX_TURNS, PAIRS, ROLES, text_of
from distillation.imports.reading.streams import Limits
from distillation.imports.reading.tool_text import tool_response, with_calls, with_tools
from distillation.pipeline.licenses import OWN_DATA
from distillation.pipeline.text import input_text
from distillation.pipeline.types import Example, Requirement
from distillation.pipeline.understand.reading import task_kind
from models_app.models import MAX_ROWS

MAX_CHARACTERS = 2 << 30  # of all rows: no more than the largest upload could hold
MAX_NAME_CHARS = 64
INSTRUCTION_COLUMNS = {"instruction", "input", "context", "output", "response", "system"}
UNREAD = {
    "functions": "Give them as `tools`.",
    "function_call": "Give it as `tool_calls`.",
    "preferred_output": "Rows for preference tuning are not taken.",
    "non_preferred_output": "Rows for preference tuning are not taken.",
}
NOTES = {
    "tools": "Tools are written as text, as Qwen's templates write them: definitions in the system "
    "message, calls as <tool_call>, results as <tool_response>. Ask the model in the same form.",
    "names": "The names of participants are not shown to the model.",
    "answers": "A conversation with several answers is several rows: each answer is learnt, with "
    "what was said before as its context. Answers with weight 0 are context alone.",
}


@dataclass
class Reading:
    """What was seen on the way, for the notes on a file."""

    notes: dict[str, str] = field(default_factory=dict)
    lines: int = 0  # as they stand in the file, the present one included
    rows: int = 0
    characters: int = 0

    def note(self, name: str) -> None:
        self.notes[name] = NOTES[name]


def read_lines(path: Path, reading: Reading | None = None) -> Iterator[ExampleRow | RowError]:
    """Streamed. ImportRefused for a file that is no use as a whole, or could be read in two ways.

    `path.name` must have an ending that the readers know.
    """
    reading = reading or Reading()
    options = ReadOptions(source="upload", license=OWN_DATA)
    plain = _plain(read_rows(path, Limits()), path.name, reading)
    reported = 0  # the line whose problem was reported: it may be one of several of its rows
    for row in to_examples(plain, path.name, options):
        if isinstance(row, RowError):
            if reported == reading.lines:
                continue
            reported = reading.lines
        yield row


def _plain(rows: Rows, file: str, reading: Reading) -> Rows:
    """Rows as the importer knows them."""
    for row in rows:
        reading.lines += 1
        if isinstance(row, RowError):
            _count(reading, 0, file)
            yield row
            continue
        _refuse_ambiguous(row, file)
        try:
            plain = _plain_rows(row.data, reading)
        except BadRow as error:
            _count(reading, 0, file)
            yield error.at(file, row.line, row.data)
            continue
        for data, characters in plain:
            _count(reading, characters, file)
            yield RawRow(row.line, data)


def _count(reading: Reading, characters: int, file: str) -> None:
    reading.rows += 1
    reading.characters += characters
    if reading.rows > MAX_ROWS or reading.characters > MAX_CHARACTERS:
        raise ImportRefused(
            file,
            f"it has more than {MAX_ROWS:,} rows, or too much text: each answer of a conversation "
            "is a row, with all that was said before.",
            code="too_many_rows",
            hint="Train on a part of them.",
        )


def kind_of(rows: Sequence[ExampleRow]) -> str:
    """Return the kind of task that the answers are of."""
    pairs = tuple(Example(input_text(row.messages), row.messages[-1]["content"]) for row in rows)
    return task_kind(Requirement(text="", examples=pairs)) if rows else ""


# --- one way to read a file -----------------------------------------------------------------------


def readings_of(columns: Sequence[str]) -> list[str]:
    """Return the ways in which a row of these fields could be read."""
    given = set(columns)
    ways = [name for name in CHAT_COLUMNS if name in given]
    rest = given
    if "instruction" in given and given & {"output", "response"}:
        ways.append("instruction + output")
        rest = given - INSTRUCTION_COLUMNS
    ways += [f"{question} + {answer}" for question, answer in PAIRS if {question, answer} <= rest]
    return ways


def _refuse_ambiguous(row: RawRow, file: str) -> None:
    ways = readings_of(list(row.data))
    if len(ways) > 1:
        message = f"line {row.line} could be read in {len(ways)} ways: as {' or as '.join(ways)}."
        hint = "Leave one of them, and upload the file again."
        raise ImportRefused(file, message, code="ambiguous_file", hint=hint)


# --- one row --------------------------------------------------------------------------------------


def _plain_rows(data: dict[str, Any], reading: Reading) -> list[tuple[dict[str, Any], int]]:
    """Return the rows of one line, each with its length in characters, about."""
    for name, hint in UNREAD.items():
        if name in data:
            raise BadRow("unsupported_field", name, f"`{name}` is not supported.", hint)
    column = next((name for name in CHAT_COLUMNS if name in data), None)
    turns = data.get(column) if column else None
    if column is None or not isinstance(turns, list):
        return [(data, 0)]  # the importer says what is wrong with it
    plain = [_turn(turn, f"{column}[{i}]", reading) for i, turn in enumerate(turns)]
    _refuse_unlearnt(turns, column)
    plain = _joined(plain)
    if tools := data.get("tools"):
        plain = with_tools(plain, tools)
        reading.note("tools")
    ends = [i for i, turn in enumerate(plain) if _is_learnt(turn)]
    if not ends or len(plain) > MAX_TURNS:
        return [({**data, column: plain}, 0)]
    if len(ends) > 1:
        reading.note("answers")
    lengths = list(accumulate(len(str(turn)) for turn in plain))
    return [({**data, column: plain[: end + 1]}, lengths[end]) for end in ends]


def _is_learnt(turn: Any) -> bool:
    return isinstance(turn, dict) and _role_of(turn) == "assistant" and turn.get("weight") != 0


def _role_of(turn: dict[str, Any]) -> str | None:
    return ROLES.get(str(turn.get("role", turn.get("from"))).strip().lower())


def _turn(turn: Any, where: str, reading: Reading) -> Any:
    if not isinstance(turn, dict):
        return turn
    _check_marks(turn, where, reading)
    role = turn.get("role", turn.get("from"))
    if role == "tool":
        reading.note("tools")
        said = text_of(turn.get("content"), f"{where}.content")
        return {"role": "user", "content": tool_response(said), "by": role}
    if "tool_calls" in turn and turn["tool_calls"] is not None:
        reading.note("tools")
        said = with_calls(turn, where)
        return {"role": role, "content": said, "weight": turn.get("weight")}
    return turn


def _check_marks(turn: dict[str, Any], where: str, reading: Reading) -> None:
    role = str(turn.get("role", turn.get("from")))
    if "function_call" in turn:
        hint = UNREAD["function_call"]
        raise BadRow("unsupported_field", f"{where}.function_call", "this is not supported.", hint)
    if (name := turn.get("name")) is not None:
        reading.note("names")
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS:
            hint = f"A name has 1 to {MAX_NAME_CHARS} characters."
            raise BadRow("bad_name", f"{where}.name", "this is no name.", hint)
    if (weight := turn.get("weight")) is None:
        return
    if isinstance(weight, bool) or weight not in (0, 1):
        raise BadRow("bad_weight", f"{where}.weight", "a weight is 0 or 1.", "Write 0 or 1.")
    if ROLES.get(role) != "assistant":
        hint = "Take it off: only answers are learnt."
        raise BadRow("bad_weight", f"{where}.weight", "only an answer may have a weight.", hint)


def _refuse_unlearnt(turns: list[Any], column: str) -> None:
    """There must be an answer at the end, and one that is wanted."""
    if not turns or not all(isinstance(turn, dict) for turn in turns):
        return
    last, roles = f"{column}[{len(turns) - 1}]", [_role_of(turn) for turn in turns]
    if "assistant" in roles and roles[-1] != "assistant":
        message = "the last message is not the assistant's, so there is nothing to learn from it."
        hint = "End the row with the answer that the model shall give."
        raise BadRow("no_answer", f"{last}.role", message, hint)
    if "assistant" in roles and not any(map(_is_learnt, turns)):
        message = "every answer has weight 0, so there is nothing to learn."
        hint = "Give weight 1 to an answer that shall be learnt, or leave the row out."
        raise BadRow("nothing_to_learn", f"{last}.weight", message, hint)


def _joined(turns: list[Any]) -> list[Any]:
    """Results of several calls are one turn; what the user says after them is of the same turn."""
    joined: list[Any] = []
    for turn in turns:
        before = joined[-1] if joined else None
        is_result = isinstance(turn, dict) and turn.get("by") == "tool"
        if is_result and isinstance(before, dict) and before.get("by") == "tool":
            before["content"] += f"\n{turn['content']}"
        else:
            joined.append(turn)
    return joined
