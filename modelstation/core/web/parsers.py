"""How the API reads a body. Apart from core.api, which needs DRF's views; they need this."""

import json
import math
import re
from typing import Any

from rest_framework import exceptions, status
from rest_framework.parsers import BaseParser, JSONParser

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 100  # what is taken is copied and walked through by functions that call themselves
MAX_SMALL_BODY_BYTES = 4 * 1024 * 1024  # of a conversation: far more than any context holds
TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class BodyTooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"

    def __init__(self, most: int) -> None:
        super().__init__(f"The body is larger than {most // 2**20} MiB.")


class BodyParser(BaseParser):
    """JSON that the database can hold: bounded in size and depth, no NUL, no half surrogates.

    No JSONParser itself: DRF reads the whole body for those before they can refuse it, within
    Django's limit for forms.
    """

    media_type = "application/json"
    max_bytes = MAX_BODY_BYTES

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        meta = getattr((parser_context or {}).get("request"), "META", {})
        if int(meta.get("CONTENT_LENGTH") or 0) > self.max_bytes:
            raise BodyTooLarge(self.max_bytes)
        if meta.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
            raise exceptions.ParseError("The body is packed. Send it without a Content-Encoding.")
        try:
            data = JSONParser().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise exceptions.ParseError(TOO_DEEP) from error
        except exceptions.ParseError as error:
            raise _plainly(error) from error
        _refuse_unstorable(data)
        return data


class SmallBodyParser(BodyParser):
    max_bytes = MAX_SMALL_BODY_BYTES


def _refuse_unstorable(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise exceptions.ParseError(TOO_DEEP)
    if isinstance(value, str):
        if UNSTORABLE.search(value):
            raise exceptions.ParseError("The text holds a NUL character or half a surrogate pair.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise exceptions.ParseError("A number in the body is too large.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key)
            _refuse_unstorable(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item, depth + 1)


def _plainly(error: exceptions.ParseError) -> exceptions.ParseError:
    """Say it plainly: Python's own words are no help to the author of the body."""
    match error.__context__:
        case json.JSONDecodeError():
            return error
        case UnicodeDecodeError() as broken:
            return exceptions.ParseError(f"Byte {broken.start + 1} of the body is not UTF-8.")
        case ValueError() as cause if "digits" in str(cause):
            return exceptions.ParseError("A number in the body has too many digits.")
    return error
