"""One logged call of a model, in whatever words it was logged, as chat turns with text alone."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from distillation.imports.reading.errors import BadRow
from distillation.imports.reading.shapes import ROLES, text_of
from distillation.imports.reading.text import is_blank
from distillation.imports.reading.tool_text import tool_response, with_calls, with_tools

Fields = dict[str, Any]  # one JSON object of a log, not understood yet
TOOL_ROLES = ("tool", "function")


@dataclass(frozen=True)
class LoggedCall:
    """`turns` are those of OpenAI's chat, the answer last."""

    turns: list[Any]
    id: str = ""  # of the trace, span or request
    model: str = ""
    at: str = ""
    finish_reason: str = ""
    tools: list[Any] = field(default_factory=list)


def messages_of(call: LoggedCall) -> list[Fields]:
    """Return roles and texts, as imports read them: tools in text form, turns of one role joined.

    Raise BadRow where there is nothing to learn from.
    """
    if call.finish_reason in ("length", "content_filter"):
        hint = "Raise the limit where it was asked, or leave the row out."
        message = f"the answer was cut off ({call.finish_reason})."
        raise BadRow("answer_cut_off", "finish_reason", message, hint)
    turns = [_turn(turn, f"messages[{i}]") for i, turn in enumerate(call.turns)]
    turns = _joined(turn for turn in turns if not is_blank(turn["content"]))
    if not turns or turns[-1]["role"] != "assistant":
        hint = "Log answers too: content capture may be off in the application."
        raise BadRow("no_answer", "", "the log holds no answer in text.", hint)
    return with_tools(turns, call.tools) if call.tools else turns


def _turn(turn: Any, where: str) -> Fields:
    if not isinstance(turn, dict):
        raise BadRow("wrong_type", where, "a turn is not an object.", "Give role and content.")
    if turn.get("role") in TOOL_ROLES:
        return {"role": "user", "content": tool_response(said_by(turn, where))}
    if turn.get("tool_calls"):
        plain = turn | {"content": said_by(turn, where)}
        return {"role": "assistant", "content": with_calls(plain, where)}
    return {"role": turn.get("role"), "content": said_by(turn, where)}


def said_by(turn: Fields, where: str) -> str:
    """Return its text. Raise BadRow for pictures and sounds, which no model here reads."""
    content = turn.get("content")
    if isinstance(content, dict):
        return json.dumps(content, ensure_ascii=False)
    if isinstance(content, list):
        for part in content:
            kind = part.get("type", "text") if isinstance(part, dict) else ""
            if isinstance(part, dict) and not isinstance(part.get("text"), str):
                message = f"a part of the type “{str(kind)[:40]}” instead of text."
                raise BadRow("not_text", f"{where}.content", message, "Only text can be learnt.")
    return text_of(content, f"{where}.content")


def _joined(turns: Iterable[Fields]) -> list[Fields]:
    joined: list[Fields] = []
    for turn in turns:
        role = ROLES.get(str(turn["role"]).strip().lower(), turn["role"])
        if joined and joined[-1]["role"] == role:
            joined[-1] = {"role": role, "content": f"{joined[-1]['content']}\n{turn['content']}"}
        else:
            joined.append({"role": role, "content": turn["content"]})
    return joined


# --- what several kinds of log need ---------------------------------------------------------------


def decoded(value: Any) -> Any:
    """Return what a text of JSON says; any other value as it is."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def object_of(value: Any) -> Fields:
    value = decoded(value)
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    value = decoded(value)
    return value if isinstance(value, list) else []


def text_at(fields: Fields, *names: str) -> str:
    """Return the first of these that says something, as text."""
    for name in names:
        if isinstance(value := fields.get(name), str | int | float) and not isinstance(value, bool):
            return str(value)
    return ""


def moment(seconds: Any) -> str:
    """Return unix seconds as ISO 8601; nothing for what is none."""
    try:
        return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
