"""The answer to a POST that makes something: one thing for each `Idempotency-Key`."""

from collections.abc import Callable
from typing import Any

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_org
from models_app.idempotency import answer_once


def made_once(
    request: Request,
    make: Callable[[], dict[str, Any]],
    *,
    said: Any,
    code: int = status.HTTP_201_CREATED,
    location: Callable[[dict[str, Any]], str] | None = None,
) -> Response:
    """`said` tells one request from another under the same key; `make` answers with plain JSON."""
    (code, body), is_replay = answer_once(
        org=request_org(request),
        key=request.headers.get("Idempotency-Key", ""),
        body=["POST", request.path, said],
        action=lambda: (code, make()),
    )
    headers = {"Location": location(body)} if location else {}
    headers |= {"Idempotent-Replayed": "true"} if is_replay else {}
    return Response(body, status=code, headers=headers)
