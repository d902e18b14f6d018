"""A UserFacingError that no view caught becomes a page that says it, never a 500."""

from collections.abc import Callable

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from modelstation.core.errors import UserFacingError
from modelstation.core.web.handlers import length_required

GetResponse = Callable[[HttpRequest], HttpResponse]


class UserFacingErrorMiddleware:
    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path_info:  # Postgres takes it in no text, not even to look for it
            raise Http404("No address holds a NUL character.")
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            return length_required(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, UserFacingError):
            return None
        return render(request, "error.html", {"error": error}, status=400)
