"""`Idempotency-Key`: the same key and body get the same answer, even if the first one was lost."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Organization
from models_app.models import IdempotentRequest
from modelstation.core.errors import Unprocessable, UserFacingError

KEPT_FOR = timedelta(days=1)
MAX_KEY_CHARS = 255

Answer = tuple[int, dict[str, Any]]  # status and body


def answer_once(
    *, org: Organization, key: str, body: Any, action: Callable[[], Answer]
) -> tuple[Answer, bool]:
    """Return the answer, and whether it is a replay. Without a key the action is simply done."""
    if not key:
        return action(), False
    if len(key) > MAX_KEY_CHARS:
        raise UserFacingError(
            f"An idempotency key has at most {MAX_KEY_CHARS} characters.", param="Idempotency-Key"
        )
    IdempotentRequest.objects.filter(org=org, created_at__lt=timezone.now() - KEPT_FOR).delete()
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    with transaction.atomic():
        # The unique constraint settles the race: a second insert waits for the first transaction.
        row, is_first = IdempotentRequest.objects.get_or_create(
            org=org, key=key, defaults={"body_sha256": digest}
        )
        if is_first:
            row.status, row.response = action()
            row.save(update_fields=["status", "response"])
    if row.body_sha256 != digest:
        hint = "Use a new key for a new request."
        message = "This idempotency key came with another body before."
        raise Unprocessable(
            message, code="idempotency_key_reused", param="Idempotency-Key", hint=hint
        )
    return (row.status, row.response), not is_first
