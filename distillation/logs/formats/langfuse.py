"""Exports of Langfuse: observations as JSON, JSON lines or CSV. Those that are no generation, such
as spans and events, hold no answer of a model and are passed over.
"""

from typing import Any

from distillation.imports.reading.errors import BadRow
from distillation.logs.formats.calls import (
    Fields,
    LoggedCall,
    decoded,
    list_of,
    object_of,
    text_at,
)

NAME = "Langfuse"
# Two of these are in every export; no row of a data set has both.
MARKS = {
    "traceId", "trace_id", "startTime", "start_time", "completionStartTime",
    "completion_start_time", "modelParameters", "model_parameters", "parentObservationId",
    "parent_observation_id", "usageDetails", "usage_details", "sessionId", "session_id",
    "userId", "user_id", "observations", "latency", "promptTokens", "prompt_tokens",
    "bookmarked", "promptName", "prompt_name",
}  # fmt: skip
ANSWERS = ("content", "completion", "text", "response", "output", "answer", "output_text")
QUESTIONS = ("prompt", "input", "question", "query", "text", "content")


def is_log(row: Fields) -> bool:
    return "input" in row and "output" in row and len(MARKS & row.keys()) >= 2


def calls(row: Fields) -> list[LoggedCall]:
    if text_at(row, "type").upper() not in ("", "GENERATION", "CHAIN", "AGENT"):
        return []
    if text_at(row, "level").upper() == "ERROR":
        why = text_at(row, "statusMessage", "status_message", "Status Message")[:120]
        message = f"the call failed{': ' if why else ''}{why}."
        raise BadRow("failed_request", "level", message, "It has no answer to learn from.")
    asked, answered = decoded(row.get("input")), decoded(row.get("output"))
    tools = list_of(object_of(asked).get("tools"))
    return [
        LoggedCall(
            turns=[*_questions(asked), _answer(answered)],
            id=text_at(row, "id", "traceId", "trace_id"),
            model=text_at(
                row, "model", "providedModelName", "provided_model_name", "internalModel"
            ),
            at=text_at(row, "startTime", "start_time", "timestamp"),
            finish_reason=_finish_reason(answered),
            tools=tools,
        )
    ]


def _questions(asked: Any) -> list[Any]:
    if isinstance(asked, list):
        return asked
    if isinstance(asked, dict):
        if isinstance(turns := decoded(asked.get("messages")), list):
            return turns
        if "role" in asked and "content" in asked:
            return [asked]
        text = text_at(asked, *QUESTIONS)
        return [{"role": "user", "content": text or asked}]
    return [{"role": "user", "content": "" if asked is None else str(asked)}]


def _answer(answered: Any) -> Fields:
    """Return the answer as a turn: exports hold a text, a message, choices, or a field of ours."""
    if isinstance(answered, list):
        answered = answered[-1] if answered else ""
    choices = list_of(answered.get("choices")) if isinstance(answered, dict) else []
    if choices:
        answered = object_of(choices[0]).get("message")
    if isinstance(answered, dict):
        if "role" in answered or answered.get("tool_calls"):
            return {"role": "assistant"} | answered | {"role": "assistant"}
        known = [name for name in ANSWERS if isinstance(answered.get(name), str)]
        # An object of more than its answer is a structured answer itself.
        text = answered[known[0]] if known and len(answered) == 1 else answered
        return {"role": "assistant", "content": text}
    return {"role": "assistant", "content": "" if answered is None else str(answered)}


def _finish_reason(answered: Any) -> str:
    choices = list_of(answered.get("choices")) if isinstance(answered, dict) else []
    return text_at(object_of(choices[0]), "finish_reason") if choices else ""
