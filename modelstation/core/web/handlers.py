"""Answers where no view gives one. Programs get the error shape of their surface, people a page."""

import uuid

from django.core import exceptions
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from modelstation.core.web.api import INTERNAL_ERROR, NOT_THERE, error_body, openai_error_body

UNREADABLE = "This request cannot be read."
NOT_OURS = "This is not an address of this installation. An operator can add it to ALLOWED_HOSTS."
# What Django says of them is for the operator.
REASONS: dict[type[Exception], str] = {
    exceptions.DisallowedHost: NOT_OURS,
    exceptions.RequestDataTooBig: "A field of the form is too large. Send what is large as a file.",
    exceptions.TooManyFieldsSent: "The request has too many fields.",
    exceptions.TooManyFilesSent: "The request has too many files. Send one at a time.",
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    answer = _answer(request, 400, "bad_request", REASONS.get(type(exception), UNREADABLE))
    return answer or defaults.bad_request(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    answer = _answer(request, 404, "not_found", NOT_THERE)
    return answer or defaults.page_not_found(request, exception)


def length_required(request: HttpRequest) -> HttpResponse:
    """Django reads nothing of a body that comes in chunks."""
    message = "The body came in chunks, without its length. Send it with a Content-Length."
    answer = _answer(request, 411, "length_required", message)
    return answer or HttpResponse(message, status=411, content_type="text/plain")


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, 500, "internal_error", INTERNAL_ERROR) or defaults.server_error(request)


def _answer(request: HttpRequest, status: int, code: str, message: str) -> JsonResponse | None:
    """None for pages."""
    path = f"{request.path}/"
    if path.startswith("/v1/"):
        kind = "server_error" if status >= 500 else "invalid_request_error"
        headers = {"x-request-id": f"req_{uuid.uuid4().hex}"}  # which clients show with the error
        body = openai_error_body(code, message, kind=kind)
        return JsonResponse(body, status=status, headers=headers)
    if path.startswith(("/api/", "/auth/")):
        return JsonResponse(error_body(code, message), status=status)
    return None
