"""Actions on stored completions: kept when a request says `store: true` and its organisation lets
it; deleted one by one, all at once, or when their days are over.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.audit import record
from accounts.models import Organization, User
from models_app.gateway.answers import Question
from models_app.gateway.shapes import Answer, Choice, Usage
from models_app.gateway.stored.rows import NAME_CHARS, StoredCompletion

logger = logging.getLogger("modelstation.openai")

DELETED_AT_ONCE = 5_000
MOST_DAYS = 3_650


@dataclass(frozen=True)
class Keeping:
    """What a request that says `store: true` wants kept with its answers."""

    metadata: Mapping[str, str]
    parameters: Mapping[str, Any]


def keep(keeping: Keeping, question: Question, answer: Answer, choices: list[Choice]) -> None:
    """Store it if the organisation lets it. A failure is the operator's to see: the caller has an
    answer all the same.
    """
    try:
        with transaction.atomic():
            _store(keeping, question, answer, choices)
    except DatabaseError:
        logger.exception("%s was not stored", answer["id"])


def _store(keeping: Keeping, question: Question, answer: Answer, choices: list[Choice]) -> None:
    served, org_id = question.served, question.meter.token.org_id
    if not Organization.objects.filter(pk=org_id, store_completions=True).exists():
        return
    version = served.version
    usage: Usage | None = answer.get("usage")
    StoredCompletion.objects.create(
        org_id=org_id,
        completion_id=answer["id"],
        name=served.name[:NAME_CHARS],
        model_id=version.model_id if version else None,
        version_id=version.id if version else None,
        messages=_storable(question.messages(0)),
        choices=_storable(choices),
        usage=usage or {},
        parameters=dict(keeping.parameters),
        metadata=_storable(dict(keeping.metadata)),
    )


def _storable(value: Any) -> Any:
    """Return it without NUL characters and lone surrogates, which Postgres refuses in JSON."""
    match value:
        case str():
            return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
    return value


def set_metadata(*, stored: StoredCompletion, metadata: Mapping[str, str]) -> StoredCompletion:
    stored.metadata = _storable(dict(metadata))
    stored.save(update_fields=["metadata"])
    return stored


def delete_stored(*, actor: User | None, stored: StoredCompletion) -> None:
    with transaction.atomic():
        record(
            org=stored.org, actor=actor, action="stored_completion.delete",
            target=stored.completion_id,
        )  # fmt: skip
        stored.delete()


def delete_all_stored(*, actor: User | None, org: Organization) -> int:
    """Delete all that the organisation has. Rows that were made of them stay."""
    with transaction.atomic():
        deleted, _ = StoredCompletion.objects.for_org(org).delete()
        if deleted:
            action = "organization.delete_stored"
            record(org=org, actor=actor, action=action, target=org, completions=deleted)
    return deleted


def set_storing(*, actor: User, org: Organization, allowed: bool, days: int) -> None:
    """Say whether requests may store answers, and for how long: for all that are stored."""
    with transaction.atomic():
        changes = {"store_completions": allowed, "stored_days": days}
        Organization.objects.filter(pk=org.pk).update(**changes)
        record(org=org, actor=actor, action="organization.storing", target=org, **changes)


def delete_expired() -> None:
    """Run every day: delete what is older than its organisation keeps it."""
    now = timezone.now()
    for org_id, days in Organization.objects.values_list("id", "stored_days"):
        expired = StoredCompletion.objects.filter(
            org=org_id, created_at__lt=now - timedelta(days=days)
        )
        while _deleted(expired):
            pass


def _deleted(rows: QuerySet[StoredCompletion]) -> int:
    """In parts, so that no transaction holds many rows for long."""
    part = rows.order_by("created_at").values_list("id", flat=True)[:DELETED_AT_ONCE]
    return StoredCompletion.objects.filter(id__in=list(part)).delete()[0]
