"""The API's common shapes: one error body, one pagination, one way to read a body."""

import uuid
from collections.abc import Mapping
from typing import Any, NoReturn

from django.core.exceptions import ValidationError
from django.db import DataError
from django.http import Http404
from rest_framework import exceptions, serializers
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.views import exception_handler as drf_exception_handler

from modelstation.core.errors import UserFacingError

SHOWN_CHARS, MESSAGE_CHARS = 200, 4000  # of a bad value, and of all that is said about it
NOT_THERE = "There is no such thing here."
# What the framework says in terms of Python, by its codes.
PLAINLY = {"not_a_list": "A list is needed.", "not_a_dict": "A JSON object is needed."}
INTERNAL_ERROR = "Something went wrong on our side. The operator can see the details."


class NewestFirstPagination(CursorPagination):
    ordering: str | tuple[str, ...] = "-created_at"
    page_size_query_param = "limit"
    max_page_size = 200

    def get_page_size(self, request: Request) -> int:
        """Refuse a limit that cannot be one, rather than replace it in silence."""
        return page_size_of(request, self.page_size or 1, most=self.max_page_size)

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValidationError, DataError, ValueError, exceptions.NotFound) as error:
            message = "This cursor is not one of ours. Begin without it."
            raise exceptions.ValidationError({"cursor": message}) from error


class Choice(serializers.ChoiceField):
    """A choice that names the known ones when it refuses another."""

    def __init__(self, choices: Any, **options: Any) -> None:
        super().__init__(choices, **options)
        known = ", ".join(str(choice) for choice in self.choices)
        self.error_messages["invalid_choice"] = f"“{{input}}” is none of {known}."


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses keys that it does not know: a misspelt optional field must not be lost in silence."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := data.keys() - self.fields.keys()):
            known = ", ".join(name for name, field in self.fields.items() if not field.read_only)
            message = f"There is no such field. Known are: {known}."
            raise serializers.ValidationError({min(unknown): message})
        return super().to_internal_value(data)


def error_body(
    code: str, message: str, *, param: str = "", hint: str = ""
) -> dict[str, dict[str, str]]:
    message, param = _short(message, MESSAGE_CHARS), _short(param)
    return {"error": {"code": code, "message": message, "param": param, "hint": hint}}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every failure has one shape: {"error": {"code", "message", "param", "hint"}}."""
    if isinstance(error, UserFacingError):
        body = error_body(error.code, error.message, param=error.param, hint=error.hint)
        whole = {"error": {**body["error"], **error.details}}
        return Response(whole, status=error.status, headers=error.headers)
    if (response := drf_exception_handler(error, context)) is not None:
        response.data = _body_of(error, context)
    return response


def hint_of(error: Exception, context: Mapping[str, Any]) -> str:
    """Return what to do about a failure that the framework found."""
    if isinstance(error, exceptions.UnsupportedMediaType):
        parsers = getattr(context.get("view"), "parser_classes", ())
        return f"Send it as {' or '.join(parser.media_type for parser in parsers)}."
    if isinstance(error, exceptions.NotAcceptable):
        return "Answers are application/json."
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return "Send “Authorization: Bearer ms_…”; the page of API tokens makes them."
    return ""


def first_problem(detail: Any, path: str = "") -> tuple[str, str, str]:
    """Of a nested validation error: the path to the first bad field, its message and its code."""
    if isinstance(detail, dict):
        key, value = next(iter(detail.items()))
        within = path if key == "non_field_errors" else f"{path}.{key}".strip(".")
        return first_problem(value, within)
    if isinstance(detail, list):
        at, item = next(((n, item) for n, item in enumerate(detail) if item), (0, "Invalid value."))
        return first_problem(item, f"{path}.{at}".strip(".") if isinstance(item, dict) else path)
    code, message = getattr(detail, "code", "invalid"), str(detail)
    if message.startswith("Invalid data. Expected a dictionary"):
        message = PLAINLY["not_a_dict"]
    return path, PLAINLY.get(code, message), code


def what_is_missing(error: Exception, context: Mapping[str, Any]) -> tuple[str, str]:
    """Which thing an address names that is not there, and what the address calls it."""
    given = context.get("kwargs") or {}
    if names := [name for name in given if name.endswith("_id")]:
        thing = names[-1].removesuffix("_id").replace("_", " ")
        why = "it may have been deleted, or belong to another organisation"
        return f"There is no {thing} “{given[names[-1]]}” here; {why}.", names[-1]
    said = str(error)
    return (NOT_THERE if not said or "matches the given query" in said else said), ""


def number_of(request: Request, name: str, default: int, *, most: int = 2**63 - 1) -> int:
    """Return a whole number ≥ 0 of the query string, at most `most`."""
    given = request.query_params.get(name, str(default))
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        message = f"A whole number is needed, not “{_short(given)}”."
        raise exceptions.ValidationError({name: message})
    return min(int(given), most)


def page_size_of(request: Request, default: int, *, most: int) -> int:
    """Return how many rows a page has; where more are requested, the most that it can have."""
    return number_of(request, "limit", default, most=most) or _refuse_limit(most)


def limit_of(request: Request, default: int, *, most: int) -> int:
    """Return the limit as OpenAI has it: more than the most is refused."""
    limit = number_of(request, "limit", default)
    return limit if 1 <= limit <= most else _refuse_limit(most)


def _refuse_limit(most: int) -> NoReturn:
    raise exceptions.ValidationError({"limit": f"A number from 1 to {most:,} is needed."})


def id_of(request: Request, name: str) -> uuid.UUID | None:
    """Return an id of the query string, by which a list is narrowed; None when it is not given."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        return uuid.UUID(given)
    except ValueError as error:
        message = f"An id is needed, not “{_short(given)}”."
        raise exceptions.ValidationError({name: message}) from error


def _short(text: str, most: int = SHOWN_CHARS) -> str:
    """Cut what was sent: a bad value or key can be of any length."""
    return text if len(text) <= most else f"{text[:most]}…"


def openai_error_body(
    code: str | None, message: str, *, kind: str = "invalid_request_error", param: str | None = None
) -> dict[str, dict[str, str | None]]:
    failure = {"message": _short(message, MESSAGE_CHARS), "param": _short(param or "") or None}
    return {"error": {**failure, "type": kind, "code": code}}


def add_error_responses(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """For the schema: every operation may answer with the one error shape of its surface."""
    text, any_text = {"type": "string"}, {"type": "string", "nullable": True}
    shapes: dict[str, dict[str, Any]] = {
        "Error": dict.fromkeys(("code", "message", "param", "hint"), text),
        "OpenAIError": {"message": text, "type": text, "param": any_text, "code": any_text},
    }
    schemas = result["components"].setdefault("schemas", {})
    for name, fields in shapes.items():
        error = {"type": "object", "properties": fields, "required": list(fields)}
        body = {"type": "object", "properties": {"error": error}, "required": ["error"]}
        schemas[name] = body
    for path, operations in result["paths"].items():
        name = "OpenAIError" if path.startswith("/v1/") else "Error"
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
        for operation in operations.values():
            failure = {"description": "A failure.", "content": content}
            operation["responses"].setdefault("default", failure)
    return result


def _body_of(error: Exception, context: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    if isinstance(error, exceptions.ValidationError):
        param, message, _ = first_problem(error.detail)
        return error_body("invalid", message, param=param)
    if isinstance(error, Http404):
        message, param = what_is_missing(error, context)
        return error_body("not_found", message, param=param)
    if isinstance(error, exceptions.APIException):
        code = getattr(error.detail, "code", error.default_code)
        return error_body(str(code), str(error.detail), hint=hint_of(error, context))
    return error_body("permission_denied", str(error) or "You may not do this.")
