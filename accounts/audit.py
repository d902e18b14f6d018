"""Record one line per action, in the action's own transaction."""

from typing import Any

from accounts.models import AuditEntry, Organization, User


def record(*, org: Organization, actor: User | None, action: str, target: Any, **data: Any) -> None:
    AuditEntry.objects.create(
        org=org, actor=actor, action=action, target=str(target)[:200], data=data
    )
