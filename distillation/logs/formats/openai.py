"""Requests and responses of OpenAI's API: logged pairs, stored completions, results of batches.

{"request": {"model", "messages"}, "response": {"choices": [{"message"}]}}
{"object": "chat.completion", "messages": […], "choices": […]}      exported by the dashboard
{"custom_id", "body": {"messages"}, "response": {"status_code", "body": {"choices"}}}
"""

from typing import Any

from distillation.imports.reading.errors import BadRow
from distillation.logs.formats.calls import (
    Fields,
    LoggedCall,
    list_of,
    moment,
    object_of,
    text_at,
)

NAME = "OpenAI’s API"
REQUESTS = ("request", "body", "input", "req", "kwargs")
RESPONSES = ("response", "output", "completion", "res")
MESSAGES = ("messages", "input_messages")
MAX_WAITING_CHARACTERS = 64 << 20  # of a batch's requests whose results are yet to come


def is_log(row: Fields) -> bool:
    if "custom_id" in row:
        return any(object_of(row.get(name)) for name in ("body", "request", "response"))
    response = _response(row)
    return _has_choices(response) or bool(response and _request(row))


class OpenAILog:
    """The results of a batch do not repeat their requests: these are kept by their `custom_id`, so
    that both files after one another, requests first, can be read.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Fields] = {}
        self._characters = 0

    def calls(self, row: Fields) -> list[LoggedCall]:
        response, request = _response(row), self._request(row)
        if error := _error_of(row, response):
            message = f"the request failed: {error[:120]}."
            raise BadRow("failed_request", "error", message, "It has no answer to learn from.")
        if not _has_choices(response):
            self._keep(row, request)
            return []
        if not request:
            message = "this result does not say what was requested."
            hint = "Join it with the file of requests: first the requests, then the results."
            raise BadRow("no_request", "custom_id" if "custom_id" in row else "", message, hint)
        return [_call(row, request, response, choice) for choice in list_of(response["choices"])]

    def unanswered(self) -> int:
        return len(self._waiting)

    def _request(self, row: Fields) -> Fields:
        own = _request(row)
        return own or self._waiting.pop(text_at(row, "custom_id"), {})

    def _keep(self, row: Fields, request: Fields) -> None:
        self._characters += len(str(request))
        name = text_at(row, "custom_id")
        if not request or not name:
            message = "there is no answer here."
            raise BadRow("no_answer", "choices", message, "Log `choices` of each response.")
        if self._characters > MAX_WAITING_CHARACTERS:
            message = "more requests without results than can be kept."
            raise BadRow("too_many_waiting", "custom_id", message, "Split the batch.")
        self._waiting[name] = request


def _response(row: Fields) -> Fields:
    """Return the object that holds `choices`, or that says why there are none."""
    if _has_choices(row):
        return row
    for name in RESPONSES:
        response = object_of(row.get(name))
        body = object_of(response.get("body"))
        if _has_choices(body) or "status_code" in response:
            return body | {"status_code": response.get("status_code")}
        if _has_choices(response) or "error" in response:
            return response
    return {}


def _has_choices(response: Fields) -> bool:
    """Tell them from the choices of a quiz."""
    choices = response.get("choices")
    return isinstance(choices, list) and any("message" in object_of(each) for each in choices)


def _request(row: Fields) -> Fields:
    for name in ("", *REQUESTS):
        request = object_of(row.get(name)) if name else row
        request = object_of(request.get("body")) or request
        if any(isinstance(request.get(key), list) for key in MESSAGES):
            return request
    return {}


def _call(row: Fields, request: Fields, response: Fields, choice: Any) -> LoggedCall:
    choice = object_of(choice)
    turns = next(request[key] for key in MESSAGES if isinstance(request.get(key), list))
    return LoggedCall(
        turns=[*turns, {"role": "assistant"} | object_of(choice.get("message"))],
        id=text_at(row, "custom_id") or text_at(response, "id") or text_at(row, "id"),
        model=text_at(response, "model") or text_at(request, "model"),
        at=moment(response.get("created")),
        finish_reason=text_at(choice, "finish_reason"),
        tools=list_of(request.get("tools")),
    )


def _error_of(row: Fields, response: Fields) -> str:
    for error in (row.get("error"), response.get("error")):
        if error:
            return text_at(object_of(error), "message", "code") or str(error)
    status = response.get("status_code")
    return f"status {status}" if isinstance(status, int) and status >= 400 else ""
