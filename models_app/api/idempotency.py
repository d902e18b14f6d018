"""`Idempotency-Key`: the same key and body get the same answer, even if the first one was lost."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_org
from models_app.models import IdempotentRequest
from modelstation.core.errors import Unprocessable, UserFacingError

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(days=1)
MAX_KEY_CHARS = 255


def made_once(
    request: Request,
    make: Callable[[], dict[str, Any]],
    *,
    said: Any,
    code: int = status.HTTP_201_CREATED,
    location: Callable[[dict[str, Any]], str] | None = None,
) -> Response:
    """Make it once per key. `said` tells requests under a key apart; `make` gives plain JSON."""
    headers: dict[str, str] = {}
    if key := request.headers.get(HEADER, ""):
        row, is_first = _stored(request, key, ["POST", request.path, said], make, code)
        code, body = row.status, row.response
        headers |= {} if is_first else {"Idempotent-Replayed": "true"}
    else:
        body = make()
    headers |= {"Location": location(body)} if location else {}
    return Response(body, status=code, headers=headers)


def _stored(
    request: Request, key: str, said: Any, make: Callable[[], dict[str, Any]], code: int
) -> tuple[IdempotentRequest, bool]:
    """Return the answer under the key, and whether it was made just now."""
    org = request_org(request)
    if len(key) > MAX_KEY_CHARS:
        message = f"An idempotency key has at most {MAX_KEY_CHARS} characters."
        raise UserFacingError(message, param=HEADER)
    IdempotentRequest.objects.filter(org=org, created_at__lt=timezone.now() - KEPT_FOR).delete()
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    with transaction.atomic():
        # The unique constraint settles the race: a second insert waits for the first transaction.
        row, is_first = IdempotentRequest.objects.get_or_create(
            org=org, key=key, defaults={"body_sha256": digest}
        )
        if is_first:
            row.status, row.response = code, make()
            row.save(update_fields=["status", "response"])
    if row.body_sha256 != digest:
        hint = "Use a new key for a new request."
        message = "This idempotency key came with another body before."
        raise Unprocessable(message, code="idempotency_key_reused", param=HEADER, hint=hint)
    return row, is_first
