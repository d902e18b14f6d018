"""Failures in OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response

from modelstation.core.api import first_problem, openai_error_body, status_of
from modelstation.core.errors import UserFacingError

RETRY_AFTER_SECONDS = "5"
KNOWN_CODES = {
    "required": "missing_required_parameter",
    "unknown_parameter": "",
    "unsupported_value": "",
}
CODES = {
    status.HTTP_401_UNAUTHORIZED: "invalid_api_key",
    status.HTTP_403_FORBIDDEN: "insufficient_permissions",
    status.HTTP_429_TOO_MANY_REQUESTS: "rate_limit_exceeded",
}
PARAMS = {"context_length_exceeded": "messages", "model_not_found": "model"}
TYPES = {
    status.HTTP_500_INTERNAL_SERVER_ERROR: "server_error",
    status.HTTP_429_TOO_MANY_REQUESTS: "rate_limit_error",
    status.HTTP_503_SERVICE_UNAVAILABLE: "server_error",
}


class ModelNotFound(exceptions.NotFound):
    def __init__(self, name: str) -> None:
        hint = "It is not published, was deleted, or belongs to another organisation."
        super().__init__(
            f"The model `{name}` does not exist or you do not have access to it. {hint}"
        )


def openai_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    match error:
        case UserFacingError():
            return _of_user_facing(error)
        case exceptions.ValidationError():
            return _of_validation(error)
        case ModelNotFound():
            return _answer(404, "model_not_found", str(error.detail), param="model")
        case exceptions.APIException():
            code = CODES.get(error.status_code, error.default_code)
            return _answer(
                error.status_code, code, str(error.detail), wait=getattr(error, "wait", None)
            )
        case Http404():
            return _answer(404, "not_found", "There is no such thing here.")
        case PermissionDenied():
            return _answer(403, CODES[403], str(error) or "You may not do this.")
    return None


def _of_user_facing(error: UserFacingError) -> Response:
    message = " ".join(filter(None, [error.message, error.hint]))
    param = error.param or PARAMS.get(error.code, "")
    return _answer(status_of(error), error.code, message, param=param)


def _of_validation(error: exceptions.ValidationError) -> Response:
    param, message, code = first_problem(error.detail)
    return _answer(400, KNOWN_CODES.get(code, "invalid_value") or code, message, param=param)


def _answer(
    code_of_status: int, code: str, message: str, *, param: str = "", wait: float | None = None
) -> Response:
    kind = TYPES.get(code_of_status, "invalid_request_error")
    body = openai_error_body(code, message, kind=kind, param=param)
    headers = {}
    if code_of_status in TYPES:
        headers["Retry-After"] = str(round(wait)) if wait else RETRY_AFTER_SECONDS
    if code_of_status == status.HTTP_409_CONFLICT:
        headers["x-should-retry"] = "false"  # OpenAI's clients send a 409 again, in vain
    if code_of_status == status.HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(body, status=code_of_status, headers=headers)
