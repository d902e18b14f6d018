"""Deeds that pushes to the hub share, of a dataset or an export: their job, their audit, their end.

What may be pushed, its files and its token are each kind's own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db.models import QuerySet

from accounts.audit import record
from accounts.models import User
from distillation.pushes.hub import Pushed
from distillation.pushes.rows import HubPush
from modelstation.core.encrypted import Sealed
from modelstation.core.errors import Busy
from modelstation.core.jobs import jobs
from modelstation.core.models import Job

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Push = TypeVar("Push", bound=HubPush)


def must_not_be_pushing(pushes: QuerySet[Any], repo_id: str) -> None:
    """Among the pushes of one thing, whose row is locked."""
    if pushes.filter(repo_id=repo_id, job__state__in=Job.LIVE_STATES).exists():
        raise Busy(
            f"This {pushes.model.what} is being pushed to {repo_id} already.",
            code="already_pushing",
            hint="Wait until that push has ended.",
        )


def start_push(push: Push, *, kind: str, actor: User) -> None:
    """In the transaction that made its row."""
    push.job = jobs.submit(kind=kind, org=push.org, subject_id=push.pk)
    push.save(update_fields=["job"])
    record_push(push, actor, "push", is_private=push.is_private)


def push_of(job: Job, pushes: QuerySet[Push]) -> Push:
    """The one that this job is to make; the job is another one when the first was requeued."""
    push = pushes.get(id=job.subject_id)
    push.job = job
    push.save(update_fields=["job"])
    return push


def hub_with(token: object) -> HfApi:
    """The hub as whoever the token belongs to; opened here, for the length of the push."""
    from huggingface_hub import HfApi

    assert isinstance(token, Sealed)
    return HfApi(endpoint=settings.HF_ENDPOINT, token=token.open())


def finish_push(push: HubPush, pushed: Pushed, *, page: str, **own: str) -> None:
    """In the transaction that ends the job. `page` is its path on the hub; `own` fields too."""
    facts = {
        "url": f"{settings.HF_ENDPOINT}/{page}",
        "commit": pushed.commit,
        "is_new_commit": pushed.is_new,
        **own,
    }
    for name, value in facts.items():
        setattr(push, name, value)
    push.save(update_fields=list(facts))
    record_push(push, push.created_by, "pushed", commit=push.commit)


def settle_failed_push(push: HubPush, job: Job) -> None:
    """Why it failed stands on its job; the audit tells that it did."""
    record_push(push, push.created_by, f"push_{job.state}", code=job.error_code)


def record_push(push: HubPush, actor: User | None, deed: str, **facts: str | bool) -> None:
    record(org=push.org, actor=actor, action=f"{push.what}.{deed}", target=push.repo_id, **facts)
