"""Tools as text, as Qwen's templates write them: definitions in the system message, calls as
<tool_call> in the answer, results as <tool_response> in the turn of the user.
"""

import json
from typing import Any

from distillation.imports.reading.errors import BadRow
from distillation.imports.reading.shapes import ROLES, text_of

MAX_TOOLS = 128
TOOLS_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
TOOLS_TAIL = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


def with_calls(turn: dict[str, Any], where: str) -> str:
    """Return what the turn says, then its calls."""
    calls = turn["tool_calls"]
    if not isinstance(calls, list) or not calls:
        at = f"{where}.tool_calls"
        raise BadRow("bad_tool_calls", at, "there are no calls here.", "Give a list.")
    lines = [_call(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(calls)]
    said = text_of(turn.get("content"), f"{where}.content").strip()
    return "\n".join([*([said] if said else []), *lines])


def _call(call: Any, where: str) -> str:
    given = call.get("function") if isinstance(call, dict) else None
    called = given if isinstance(given, dict) else {}
    name = called.get("name")
    if not isinstance(name, str) or not name:
        hint = 'Write {"type": "function", "function": {"name": …, "arguments": …}}.'
        at = f"{where}.function.name"
        raise BadRow("bad_tool_calls", at, "the call names no function.", hint)
    given = called.get("arguments", "{}")
    try:
        arguments = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        at, hint = f"{where}.function.arguments", "Give a JSON object, or the text of one."
        raise BadRow("bad_tool_calls", at, "these are no arguments.", hint)
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def tool_response(said: str) -> str:
    return f"<tool_response>\n{said}\n</tool_response>"


def with_tools(turns: list[Any], tools: Any) -> list[Any]:
    """Return the turns with the definitions in their system message, made where there is none."""
    if not isinstance(tools, list) or len(tools) > MAX_TOOLS:
        hint = f"Give a list of at most {MAX_TOOLS} definitions."
        raise BadRow("bad_tools", "tools", "this is no list of tools.", hint)
    for i, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            hint = 'Write {"type": "function", "function": {"name": …, "parameters": …}}.'
            raise BadRow("bad_tools", f"tools[{i}]", "this tool has no name.", hint)
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    block = f"{TOOLS_HEAD}{lines}{TOOLS_TAIL}"
    first = turns[0] if turns and isinstance(turns[0], dict) else {}
    if ROLES.get(str(first.get("role"))) == "system":
        said = text_of(first.get("content"), "messages[0].content")
        return [{"role": "system", "content": f"{said}\n\n{block}"}, *turns[1:]]
    return [{"role": "system", "content": block}, *turns]
