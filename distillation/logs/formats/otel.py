"""OpenTelemetry's traces and logs of generative AI, as OTLP JSON or as flat spans.

The conventions changed over the years; all of these are in use:
    attributes gen_ai.prompt.0.role, gen_ai.completion.0.content …        (OpenLLMetry)
    attributes gen_ai.input.messages, gen_ai.output.messages, with parts   (since 1.37)
    events gen_ai.user.message, gen_ai.choice …, in spans or as log records
    events gen_ai.content.prompt, gen_ai.content.completion
Spans of other things (HTTP, databases, chains) are passed over.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from distillation.imports.reading.errors import BadRow
from distillation.logs.formats.calls import (
    Fields,
    LoggedCall,
    decoded,
    list_of,
    moment,
    object_of,
    text_at,
)

NAME = "OpenTelemetry GenAI"
CONTAINERS = {
    "resourceSpans": ("scopeSpans", "spans"),
    "resource_spans": ("scope_spans", "spans"),
    "resourceLogs": ("scopeLogs", "logRecords"),
    "resource_logs": ("scope_logs", "log_records"),
}
OLDER_SCOPES = ("instrumentationLibrarySpans", "instrumentation_library_spans")
NUMBERED = re.compile(r"gen_ai\.(prompt|completion)\.(\d+)\.(.+)")
NUMBERED_CALL = re.compile(r"tool_calls\.(\d+)\.(name|arguments|id)")
EVENT_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
NO_TEXT = (
    "Set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT (or TRACELOOP_TRACE_CONTENT) to true "
    "in the application, so that spans hold what was said."
)


@dataclass(frozen=True)
class Event:
    name: str
    fields: Fields  # attributes and body, as one


@dataclass(frozen=True)
class Span:
    id: str
    trace: str
    attributes: Fields
    events: list[Event] = field(default_factory=list)
    nanoseconds: Any = 0

    @property
    def is_of_a_model(self) -> bool:
        said = any(name.startswith("gen_ai.") for name in self.attributes)
        return said or any(event.name.startswith("gen_ai.") for event in self.events)


def is_log(row: Fields) -> bool:
    if row.keys() & CONTAINERS.keys():
        return True
    named = row | object_of(row.get("context"))
    return bool(text_at(named, "traceId", "trace_id")) and isinstance(
        row.get("attributes"), dict | list
    )


def calls(row: Fields) -> list[LoggedCall]:
    spans = [span for span in _spans(row) if span.is_of_a_model]
    found = [call for span in spans if (call := _call(span)) is not None]
    if spans and not found:
        message = "the spans of models hold no text of what was asked and answered."
        raise BadRow("no_content", "attributes", message, NO_TEXT)
    return found


# --- spans, however they are packed ---------------------------------------------------------------


def _spans(row: Fields) -> Iterator[Span]:
    for resources, (scopes, items) in CONTAINERS.items():
        packed = [
            item
            for resource in list_of(row.get(resources))
            for name in (scopes, *OLDER_SCOPES)
            for scope in list_of(object_of(resource).get(name))
            for item in list_of(object_of(scope).get(items))
            if isinstance(item, dict)
        ]
        yield from _of_records(packed) if "og" in resources else map(_span, packed)
    if not row.keys() & CONTAINERS.keys():
        yield _span(row)


def _span(item: Fields) -> Span:
    context = object_of(item.get("context"))
    events = [
        Event(text_at(event, "name"), _attributes(event.get("attributes")))
        for event in list_of(item.get("events"))
        if isinstance(event, dict)
    ]
    return Span(
        id=text_at(item, "spanId", "span_id") or text_at(context, "span_id"),
        trace=text_at(item, "traceId", "trace_id") or text_at(context, "trace_id"),
        attributes=_attributes(item.get("attributes")),
        events=events,
        nanoseconds=item.get("startTimeUnixNano") or item.get("start_time_unix_nano") or 0,
    )


def _of_records(records: Iterable[Fields]) -> Iterator[Span]:
    """Log records of one span are its events."""
    grouped: dict[tuple[str, str], list[Fields]] = defaultdict(list)
    for record in records:
        key = (text_at(record, "traceId", "trace_id"), text_at(record, "spanId", "span_id"))
        grouped[key].append(record)
    for (trace, span), items in grouped.items():
        events = [_record_event(item) for item in items]
        attributes = {key: value for event in events for key, value in event.fields.items()}
        at = items[0].get("timeUnixNano") or items[0].get("time_unix_nano") or 0
        yield Span(span, trace, attributes, events, at)


def _record_event(record: Fields) -> Event:
    attributes = _attributes(record.get("attributes"))
    body = object_of(_value(record.get("body")))
    name = text_at(record, "eventName", "event_name") or text_at(attributes, "event.name")
    return Event(name, attributes | body)


def _attributes(given: Any) -> Fields:
    """Return them by name, whether they came as OTLP's list or as an object."""
    if isinstance(given, dict):
        return given
    pairs = (pair for pair in list_of(given) if isinstance(pair, dict) and "key" in pair)
    return {str(pair["key"]): _value(pair.get("value")) for pair in pairs}


def _value(given: Any) -> Any:
    """Return the value of OTLP's {"stringValue": …}; anything else as it is."""
    if not isinstance(given, dict) or len(given) != 1:
        return given
    kind, value = next(iter(given.items()))
    match kind.replace("_", "").lower():
        case "stringvalue" | "boolvalue" | "doublevalue":
            return value
        case "intvalue":
            return int(value) if str(value).lstrip("-").isdigit() else value
        case "arrayvalue":
            return [_value(item) for item in list_of(object_of(value).get("values"))]
        case "kvlistvalue":
            return _attributes(object_of(value).get("values"))
    return given


# --- what was said --------------------------------------------------------------------------------


def _call(span: Span) -> LoggedCall | None:
    facts = span.attributes
    for read in (_of_messages, _of_numbers, _of_events, _of_contents):
        asked, answered = read(span)
        if asked and answered:
            break
    else:
        return None
    reasons = list_of(facts.get("gen_ai.response.finish_reasons")) or [
        text_at(object_of(answered[0]), "finish_reason")
    ]
    return LoggedCall(
        turns=[*asked, answered[0]],
        id=span.id or span.trace,
        model=text_at(facts, "gen_ai.response.model", "gen_ai.request.model"),
        at=moment(float(span.nanoseconds) / 1e9) if str(span.nanoseconds).isdigit() else "",
        finish_reason=str(reasons[0]) if reasons else "",
        tools=_tools(facts),
    )


Said = tuple[list[Any], list[Any]]  # turns before the answer, answers


def _of_messages(span: Span) -> Said:
    """Read gen_ai.input.messages and its like, of the span or of one of its events."""
    for facts in (span.attributes, *(event.fields for event in span.events)):
        asked = list_of(facts.get("gen_ai.input.messages"))
        answered = list_of(facts.get("gen_ai.output.messages"))
        if asked and answered:
            system = list_of(facts.get("gen_ai.system_instructions"))
            opening = [{"role": "system", "parts": system}] if system else []
            turns = [turn for each in (*opening, *asked) for turn in _of_parts(each)]
            answers = [turn for each in answered for turn in _of_parts(each, "assistant")]
            return turns, answers
    return [], []


def _of_parts(message: Any, role: str = "") -> list[Fields]:
    """Return a message of parts as OpenAI's turns: results of tools are turns of their own."""
    message = object_of(message)
    role = text_at(message, "role") or role
    parts = [object_of(part) for part in list_of(message.get("parts"))]
    if not parts:
        return [message | {"role": role}]
    texts = [_text(part) for part in parts if part.get("type") == "text"]
    results = [
        p.get("response", p.get("result")) for p in parts if p.get("type") == "tool_call_response"
    ]
    turns: list[Fields] = [{"role": "tool", "content": _as_text(result)} for result in results]
    asked = [_function(part) for part in parts if part.get("type") == "tool_call"]
    known = ("text", "tool_call", "tool_call_response", "reasoning")
    if odd := [part.get("type") for part in parts if part.get("type") not in known]:
        message = f"a part of the type “{str(odd[0])[:40]}” instead of text."
        raise BadRow("not_text", "gen_ai.input.messages", message, "Only text can be learnt.")
    if texts or asked or not turns:
        calls = {"tool_calls": asked} if asked else {}
        turns.append({"role": role, "content": "\n".join(texts), **calls})
    reason = text_at(message, "finish_reason") if isinstance(message, dict) else ""
    return [turn | {"finish_reason": reason} for turn in turns]


def _text(part: Fields) -> str:
    return text_at(part, "content", "text")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _function(call: Fields) -> Fields:
    arguments = decoded(call.get("arguments", {}))
    return {"function": {"name": call.get("name"), "arguments": arguments}}


def _of_numbers(span: Span) -> Said:
    """Read gen_ai.prompt.N.… and gen_ai.completion.N.…"""
    numbered: dict[str, dict[int, Fields]] = {"prompt": {}, "completion": {}}
    for name, value in span.attributes.items():
        if match := NUMBERED.fullmatch(name):
            turn = numbered[match[1]].setdefault(int(match[2]), {})
            turn[match[3]] = value
    return (
        [_numbered_turn(turn, "user") for _, turn in sorted(numbered["prompt"].items())],
        [_numbered_turn(turn, "assistant") for _, turn in sorted(numbered["completion"].items())],
    )


def _numbered_turn(fields: Fields, role: str) -> Fields:
    calls: dict[int, Fields] = {}
    for name, value in fields.items():
        if match := NUMBERED_CALL.fullmatch(name):
            calls.setdefault(int(match[1]), {})[match[2]] = value
    turn = {
        "role": text_at(fields, "role") or role,
        "content": decoded_parts(fields.get("content")),
        "finish_reason": text_at(fields, "finish_reason"),
    }
    asked = [_function(call) for _, call in sorted(calls.items())]
    return turn | ({"tool_calls": asked} if asked else {})


def decoded_parts(content: Any) -> Any:
    """Return a list of parts where the text is one written as JSON; else the text itself."""
    parts = decoded(content)
    is_parts = isinstance(parts, list) and all(isinstance(p, dict) and "type" in p for p in parts)
    return parts if is_parts and parts else content


def _of_events(span: Span) -> Said:
    """Read gen_ai.user.message … and gen_ai.choice."""
    asked, answered = [], []
    for event in span.events:
        if role := EVENT_ROLES.get(event.name):
            asked.append({"role": role} | event.fields)
        elif event.name == "gen_ai.choice":
            message = object_of(event.fields.get("message")) or event.fields
            reason = text_at(event.fields, "finish_reason")
            answered.append({"role": "assistant"} | message | {"finish_reason": reason})
    return asked, answered


def _of_contents(span: Span) -> Said:
    """Read gen_ai.prompt and gen_ai.completion, of the span or of its events."""
    facts = dict(span.attributes)
    for event in span.events:
        facts |= {
            key: event.fields[key]
            for key in ("gen_ai.prompt", "gen_ai.completion")
            if key in event.fields
        }
    return _turns(facts.get("gen_ai.prompt"), "user"), _turns(
        facts.get("gen_ai.completion"), "assistant"
    )


def _turns(value: Any, role: str) -> list[Any]:
    value = decoded(value)
    if isinstance(value, list):
        return [{"role": role} | object_of(turn) for turn in value]
    if isinstance(value, dict):
        return [{"role": role} | value]
    return [{"role": role, "content": value}] if value else []


def _tools(facts: Fields) -> list[Any]:
    given = list_of(facts.get("gen_ai.tool.definitions"))
    return [
        tool if "function" in tool else {"type": "function", "function": tool}
        for tool in map(object_of, given)
    ]
