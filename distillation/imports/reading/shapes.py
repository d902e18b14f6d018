"""The shapes that rows come in, each turned into chat messages that end with an answer.

chat          {"messages": [{"role", "content"}]}, or "conversations" with from / value (ShareGPT)
instruction   {"instruction", "input"?, "output"} (Alpaca; Dolly's context / response too)
pair          {"prompt", "completion"}, {"question", "answer"}, {"text", "label"} …
mapped        columns named by the caller: ColumnMapping(user="Frage", assistant="Antwort")
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from distillation.imports.reading.errors import BadRow
from distillation.imports.reading.text import Message, clean, is_blank

Row = Mapping[str, Any]

MAX_TURNS = 200
MAX_CHARACTERS = 100_000

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
}
CHAT_COLUMNS = ("messages", "conversations", "conversation")
INSTRUCTION_OUTPUTS = ("output", "response")
INSTRUCTION_INPUTS = ("input", "context")
PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("query", "response"),
    ("input", "output"),
    ("text", "label"),
    ("text", "intent"),
)
CONTEXTS = ("context", "passage")  # beside a pair, the text that the question is about
KNOWN_SHAPES = (
    "messages; conversations; instruction + output; prompt + completion; question + answer; "
    "input + output; text + label"
)


@dataclass(frozen=True)
class ColumnMapping:
    """Which columns hold the turns, for files whose columns have names of their own.

    `labels` names the classes where the answer column holds their numbers.
    """

    user: str
    assistant: str
    system: str = ""
    context: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conversation:
    messages: list[Message]
    flags: frozenset[str]


def guess_mapping(row: Row) -> "ColumnMapping | str | None":
    """Return the chat column's name, else the two columns that make a pair, else None."""
    for column in CHAT_COLUMNS:
        if column in row:
            return column
    if "instruction" in row:
        output = next((name for name in INSTRUCTION_OUTPUTS if name in row), "output")
        context = next((name for name in INSTRUCTION_INPUTS if name in row), "input")
        return ColumnMapping("instruction", output, "system", context)
    for user, assistant in PAIRS:
        if user in row and assistant in row:
            context = next((name for name in CONTEXTS if name in row), "")
            return ColumnMapping(user, assistant, "system", context)
    return None


def to_conversation(row: Row, mapping: ColumnMapping | str) -> Conversation:
    """Messages that alternate and end with an answer; raises BadRow saying what is wrong."""
    turns = chat_turns(row, mapping) if isinstance(mapping, str) else pair_turns(row, mapping)
    flags: set[str] = set()
    messages = []
    for role, text, field in turns:
        cleaned, repaired = clean(text)
        flags |= repaired
        refuse_blank(cleaned, role, field)
        messages.append({"role": role, "content": cleaned})
    if messages and messages[-1]["role"] == "user" and len(messages) > 2:
        messages.pop()
        flags.add("unanswered_last_turn_dropped")
    column = mapping if isinstance(mapping, str) else mapping.user
    refuse_bad_order(messages, column)
    size = sum(len(message["content"]) for message in messages)
    if size > MAX_CHARACTERS:
        what = f"{size:,} characters, at most {MAX_CHARACTERS:,} are taken."
        hint = "Split the text; a small model reads a few thousand characters."
        raise BadRow("too_long", column, what, hint)
    return Conversation(messages, frozenset(flags))


Turn = tuple[str, str, str]  # role, text, the field it came from


def pair_turns(row: Row, mapping: ColumnMapping) -> list[Turn]:
    turns = []
    system = text_of(row.get(mapping.system), mapping.system) if mapping.system else ""
    if not is_blank(system):
        turns.append(("system", system, mapping.system))
    question = text_of(required(row, mapping.user), mapping.user)
    context = text_of(row.get(mapping.context), mapping.context) if mapping.context else ""
    if not is_blank(context):
        question = f"{question}\n\n{context}"
    turns.append(("user", question, mapping.user))
    answer = required(row, mapping.assistant)
    turns.append(("assistant", answer_text(answer, mapping), mapping.assistant))
    return turns


def answer_text(answer: Any, mapping: ColumnMapping) -> str:
    """Turn a label given by number (or true, false) into its name where names are known, and what
    has a structure into JSON.
    """
    answer = unwrapped(answer)
    if isinstance(answer, dict | list) and not (answer and _is_parts(answer)):
        return json.dumps(answer, ensure_ascii=False, default=str)
    if not isinstance(answer, int | float):
        return text_of(answer, mapping.assistant)
    if not mapping.labels:
        return f"{answer:g}" if isinstance(answer, float) else str(answer).lower()
    if not 0 <= answer < len(mapping.labels) or answer != int(answer):
        hint = f"There are names for 0 to {len(mapping.labels) - 1}."
        raise BadRow("unknown_label", mapping.assistant, f"label {answer} has no name.", hint)
    return mapping.labels[int(answer)]


def chat_turns(row: Row, column: str) -> list[Turn]:
    turns = required(row, column)
    if not isinstance(turns, list) or not turns:
        hint = 'Give a list such as [{"role": "user", …}, {"role": "assistant", …}].'
        raise BadRow("no_messages", column, "there are no messages here.", hint)
    if len(turns) > MAX_TURNS:
        message = f"{len(turns)} turns, at most {MAX_TURNS} are taken."
        raise BadRow("too_many_turns", column, message, "Split the conversation into shorter ones.")
    return [chat_turn(turn, f"{column}[{index}]") for index, turn in enumerate(turns)]


def chat_turn(turn: Any, field: str) -> Turn:
    if not isinstance(turn, dict):
        raise BadRow("wrong_type", field, "a turn is not an object.", "Give role and content.")
    role = ROLES.get(str(turn.get("role", turn.get("from"))).strip().lower())
    if role is None:
        message = f"the role {str(turn.get('role', turn.get('from')))[:40]!r} is not known."
        raise BadRow("unknown_role", f"{field}.role", message, "Use system, user or assistant.")
    key = "content" if "content" in turn else "value"
    return role, text_of(turn.get(key), f"{field}.{key}"), f"{field}.{key}"


def text_of(value: Any, field: str) -> str:
    """Text, or a list of text parts joined; nothing at all counts as empty text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if _is_parts(value):
        return "\n".join(part["text"] for part in value)
    if isinstance(value := unwrapped(value), str):
        return value
    hint = "Put the value in quotes."
    raise BadRow("not_text", field, f"{type(value).__name__} instead of text.", hint)


def _is_parts(value: Any) -> bool:
    """Say whether it is a list of parts of text, as messages have them."""
    return isinstance(value, list) and all(
        isinstance(part, dict)
        and isinstance(part.get("text"), str)
        and part.get("type", "text") == "text"
        for part in value
    )


def unwrapped(value: Any) -> Any:
    """Return the one plain value of a list that has one: mostly its label."""
    is_one = isinstance(value, list) and len(value) == 1 and not isinstance(value[0], dict | list)
    return value[0] if is_one else value


def required(row: Row, column: str) -> Any:
    if column not in row:
        hint = "All rows of a file need the fields of its first row."
        raise BadRow("missing_field", column, "this field is missing.", hint)
    return row[column]


def refuse_blank(text: str, role: str, field: str) -> None:
    if not is_blank(text):
        return
    what = {"user": "the question", "assistant": "the answer", "system": "the system turn"}[role]
    raise BadRow("empty", field, f"{what} is empty.", "Fill it in or remove the row.")


def refuse_blank_turns(messages: list[Message]) -> None:
    """Refuse a conversation of which cleaning left a turn empty."""
    for index, message in enumerate(messages):
        refuse_blank(message["content"], message["role"], f"messages[{index}].content")


ORDER_RULES: tuple[tuple[Callable[[list[str]], bool], str, str], ...] = (
    (lambda roles: "assistant" not in roles, "no_answer", "there is no answer."),
    (lambda roles: "user" not in roles, "no_question", "there is no question."),
    (lambda roles: "system" in roles[1:], "system_turn", "a system turn that is not the first."),
    (lambda roles: unalternating(roles), "turn_order", "the turns do not alternate."),
)


def refuse_bad_order(messages: list[Message], column: str) -> None:
    roles = [message["role"] for message in messages]
    for is_broken, code, message in ORDER_RULES:
        if is_broken(roles):
            hint = "A row is: system (may be left out), then user and assistant in turn."
            raise BadRow(code, column, message, hint)


def unalternating(roles: list[str]) -> bool:
    talk = roles[1:] if roles[0] == "system" else roles
    return talk != ["user", "assistant"] * (len(talk) // 2)
