"""Failures in OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response

from modelstation.core.errors import UserFacingError
from modelstation.core.web.api import first_problem, hint_of, openai_error_body, what_is_missing

RETRY_AFTER_SECONDS = "5"
KNOWN_CODES = {"required": "missing_required_parameter"}
OWN_CODES = ("unknown_parameter", "unsupported_value")
CODES = {
    status.HTTP_401_UNAUTHORIZED: "invalid_api_key",
    status.HTTP_403_FORBIDDEN: "insufficient_permissions",
    status.HTTP_429_TOO_MANY_REQUESTS: "rate_limit_exceeded",
}
# What the model server says of a request, in OpenAI's terms; `prompt` is what the view calls it.
OPENAI_CODES = {
    "invalid_json_schema": "invalid_value",
    "invalid_messages": "invalid_value",
    "server_busy": "rate_limit_exceeded",
    "too_large": "body_too_large",
}
PARAMS = {
    "context_length_exceeded": "prompt",
    "invalid_json_schema": "response_format.json_schema.schema",
    "invalid_messages": "prompt",
    "model_not_found": "model",
}
TYPES = {
    status.HTTP_500_INTERNAL_SERVER_ERROR: "server_error",
    status.HTTP_429_TOO_MANY_REQUESTS: "rate_limit_error",
    status.HTTP_503_SERVICE_UNAVAILABLE: "server_error",
    status.HTTP_504_GATEWAY_TIMEOUT: "server_error",
}
TRANSIENT = (status.HTTP_429_TOO_MANY_REQUESTS, status.HTTP_503_SERVICE_UNAVAILABLE)
# OpenAI's clients try 409 and 5xx again by themselves; here that cannot help.
PERMANENT = (
    "deadline_exceeded", "insufficient_quota", "model_file_missing", "model_unreadable",
    "path_refused",
)  # fmt: skip


class ModelNotFound(exceptions.NotFound):
    def __init__(self, name: str) -> None:
        message = f"The model `{name}` does not exist or you do not have access to it."
        hint = "It is not published, was deleted, or belongs to another organisation."
        super().__init__(f"{message} {hint}")


def openai_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    match error:
        case UserFacingError():
            return _of_user_facing(error, getattr(context.get("view"), "prompt_param", "messages"))
        case exceptions.ValidationError():
            return _of_validation(error)
        case ModelNotFound():
            return _answer(404, "model_not_found", str(error.detail), param="model")
        case exceptions.APIException():
            code = CODES.get(error.status_code, error.default_code)
            message = f"{error.detail} {hint_of(error, context)}".strip()
            return _answer(error.status_code, code, message, wait=getattr(error, "wait", None))
        case Http404():
            message, param = what_is_missing(error, context)
            return _answer(404, "not_found", message, param=param)
        case PermissionDenied():
            return _answer(403, CODES[403], str(error) or "You may not do this.")
    return None


def openai_code(error: UserFacingError) -> str:
    return OPENAI_CODES.get(error.code, error.code)


def _of_user_facing(error: UserFacingError, prompt_param: str) -> Response:
    message = " ".join(filter(None, [error.message, error.hint]))
    param = error.param or PARAMS.get(error.code, "")
    if param == "prompt":
        param = prompt_param
    wait = getattr(error, "retry_after", None)
    return _answer(error.status, openai_code(error), message, param=param, wait=wait)


def _of_validation(error: exceptions.ValidationError) -> Response:
    param, message, code = first_problem(error.detail)
    code = code if code in OWN_CODES else KNOWN_CODES.get(code, "invalid_value")
    return _answer(400, code, message, param=param)


def _answer(
    code_of_status: int, code: str, message: str, *, param: str = "", wait: float | None = None
) -> Response:
    kind = TYPES.get(code_of_status, "invalid_request_error")
    if code == "insufficient_quota":
        kind = code
    body = openai_error_body(code, message, kind=kind, param=param)
    return Response(body, status=code_of_status, headers=_headers(code_of_status, code, wait))


def _headers(code_of_status: int, code: str, wait: float | None) -> dict[str, str]:
    headers = {}
    if code_of_status in TRANSIENT:
        headers["Retry-After"] = str(max(1, round(wait))) if wait else RETRY_AFTER_SECONDS
    if code_of_status == status.HTTP_409_CONFLICT or code in PERMANENT:
        headers["x-should-retry"] = "false"
    if code_of_status == status.HTTP_401_UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers
