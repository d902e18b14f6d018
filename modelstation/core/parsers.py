"""How the API reads a body. Apart from core.api, which needs DRF's views; they need this."""

from collections.abc import Mapping
from typing import Any

from rest_framework import exceptions, status
from rest_framework.parsers import JSONParser

MAX_BODY_BYTES = 32 * 1024 * 1024


class BodyTooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = f"The body is larger than {MAX_BODY_BYTES // 2**20} MiB."
    default_code = "body_too_large"


class BodyParser(JSONParser):
    """JSON that the database can hold: bounded in size and depth, no NUL, no half surrogates."""

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        request = (parser_context or {}).get("request")
        if request is not None and int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
            raise BodyTooLarge
        try:
            data = super().parse(stream, media_type, parser_context)
            _refuse_unstorable(data)
        except RecursionError as error:
            raise exceptions.ParseError("JSON parse error - nested too deeply") from error
        return data


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value or not _is_encodable(value):
            raise exceptions.ParseError("The text holds a NUL character or half a surrogate pair.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key)
            _refuse_unstorable(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
