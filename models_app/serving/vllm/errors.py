"""What vLLM refuses and how it fails, in the terms of our own model server. No Django."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from models_app.serving.errors import ServingError, busy, too_late

# How its versions say that prompt and answer are too long together.
TOO_LONG = ("context length", "maximum model length", "max_model_len")
BAD_SCHEMA = ("schema", "grammar", "guided", "structured output")


def refusal_of(reply: httpx.Response) -> ServingError:
    return refusal(reply.status_code, _error_of(reply), reply.headers)


def refusal(
    status: int, error: dict[str, Any], headers: Mapping[str, str] | None = None
) -> ServingError:
    message = str(error.get("message") or "The model server refused the request.")
    wait = (headers or {}).get("retry-after", "")
    seconds = int(wait) if wait.isdigit() else None
    match status:
        case 401 | 403:
            return ServingError("vLLM refused our key.", code="invalid_key")
        case 404:
            return ServingError("The model is not loaded in vLLM.", code="model_file_missing")
        case 429:
            return busy("vLLM is busy. Try again shortly.", seconds)
        case status if status >= 500:
            return unavailable("vLLM failed.", seconds)
    return ServingError(message, code=_code_of(message.lower()))


def message_of(reply: httpx.Response) -> str:
    """vLLM's own words, which may name paths: for the log."""
    return str(_error_of(reply).get("message", ""))


def unavailable(message: str, retry_after: int | None = None) -> ServingError:
    return ServingError(message, code="model_server_unavailable", retry_after=retry_after)


@contextmanager
def failures_explained(deadline_s: float | None = None) -> Iterator[None]:
    """`deadline_s`: how long an answer was waited for, where one was."""
    try:
        yield
    except httpx.ReadTimeout as error:
        if deadline_s is not None:
            raise too_late(deadline_s) from error
        raise unavailable("vLLM took too long to answer.") from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise unavailable("vLLM is not running.") from error
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise unavailable("vLLM stopped while it answered.") from error


def _error_of(reply: httpx.Response) -> dict[str, Any]:
    """vLLM nests its errors since 0.10; before, the body was the error."""
    try:
        body = reply.json()
    except ValueError:
        return {"message": reply.text[:200]}
    if not isinstance(body, dict):
        return {"message": str(body)[:200]}
    error = body.get("error", body)
    return error if isinstance(error, dict) else {"message": str(error)}


def _code_of(message: str) -> str:
    if any(words in message for words in TOO_LONG):
        return "context_length_exceeded"
    if any(words in message for words in BAD_SCHEMA):
        return "invalid_json_schema"
    return "invalid_request"
