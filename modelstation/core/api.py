"""The API's common shapes: one error body, one pagination."""

from typing import Any

from rest_framework import exceptions, status
from rest_framework.pagination import CursorPagination
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from modelstation.core.errors import UserFacingError


class NewestFirstPagination(CursorPagination):
    ordering = "-created_at"
    page_size_query_param = "limit"
    max_page_size = 200


def error_body(code: str, message: str, *, param: str = "", hint: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "param": param, "hint": hint}}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every failure has one shape: {"error": {"code", "message", "param", "hint"}}."""
    if isinstance(error, UserFacingError):
        body = error_body(error.code, error.message, param=error.param, hint=error.hint)
        return Response(body, status=status.HTTP_400_BAD_REQUEST)
    response = drf_exception_handler(error, context)
    if response is not None:
        response.data = _body_of(error, response)
    return response


def _body_of(error: Exception, response: Response) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        param, message = _first_problem(error.detail)
        return error_body("invalid", message, param=param)
    if response.status_code == status.HTTP_404_NOT_FOUND:
        return error_body("not_found", "There is no such thing here.")
    detail = getattr(error, "detail", str(error))
    return error_body(getattr(detail, "code", None) or "error", str(detail))


def _first_problem(detail: Any, path: str = "") -> tuple[str, str]:
    """The first message of a nested validation error, with the dotted path to its field."""
    if isinstance(detail, dict):
        key, value = next(iter(detail.items()))
        return _first_problem(value, f"{path}.{key}".strip("."))
    if isinstance(detail, list):
        first = next((item for item in detail if item), "Invalid value.")
        return _first_problem(first, path)
    return path.removesuffix("non_field_errors").strip("."), str(detail)
