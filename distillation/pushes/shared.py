"""One push to the hub from its request to its end, of a dataset or an export.

What may be pushed and which files it is are each kind's own affair. The token is opened in the
worker, for the length of the push; it is in no job, log or audit entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db.models import QuerySet

from accounts.audit import record
from accounts.models import User
from distillation.pushes.hub import Pushed, check_repo_id, push_files
from distillation.pushes.rows import HubPush
from modelstation.core.encrypted import Sealed
from modelstation.core.errors import Busy, Conflict
from modelstation.core.jobs import jobs
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Push = TypeVar("Push", bound=HubPush)


@dataclass(frozen=True)
class Upload:
    files: Mapping[str, Path | bytes]  # by their name in the repository
    digest: str  # of all of them: the same one is never committed twice
    message: str  # of the commit
    kept: Mapping[str, str]  # fields of the row that its success changes


def submit(push: Push, others: QuerySet[Any]) -> Push:
    """Save and queue a push, under the lock of what is pushed. `others`: pushes of the same."""
    check_repo_id(push.repo_id)
    _must_have_token(push)
    if others.filter(repo_id=push.repo_id, job__state__in=Job.LIVE_STATES).exists():
        message = f"This {push.what} is being pushed to {push.repo_id} already."
        raise Busy(message, code="already_pushing", hint="Wait until that push has ended.")
    push.save()
    push.job = jobs.submit(kind=push.job_kind, org=push.org, subject_id=push.pk)
    push.save(update_fields=["job"])
    _record(push, push.created_by, "push", is_private=push.is_private)
    return push


def run(
    job: Job, lease: Lease, pushes: QuerySet[Push], prepare: Callable[[Push, Path], Upload]
) -> Publish:
    """Push what `prepare(push, work_folder)` gives."""
    push = pushes.get(id=job.subject_id)
    push.job = job  # another one, when the first was requeued
    push.save(update_fields=["job"])
    _must_have_token(push)
    lease.stage("push", f"Pushing to {push.repo_id}")
    with TemporaryDirectory(dir=settings.ARTIFACTS_DIR) as work:
        upload = prepare(push, Path(work))
        pushed = push_files(
            _hub_with(push.sealed_token),
            push.repo_id,
            upload.files,
            digest=upload.digest,
            is_private=push.is_private,
            message=upload.message,
            repo_type=push.repo_type,
        )
    lease.check()
    return lambda: _finish(push, pushed, upload)


def settle_failed(pushes: QuerySet[Push], job: Job) -> None:
    """Leave the reason on the job; the audit says that it failed."""
    for push in pushes.filter(id=job.subject_id).select_related("org", "created_by"):
        _record(push, push.created_by, f"push_{job.state}", code=job.error_code)


def _must_have_token(push: HubPush) -> None:
    if not push.sealed_token:
        hint = push.no_token_hint
        raise Conflict("There is no token of the hub to push with.", code="no_hub_token", hint=hint)


def _hub_with(token: object) -> HfApi:
    from huggingface_hub import HfApi

    assert isinstance(token, Sealed)
    return HfApi(endpoint=settings.HF_ENDPOINT, token=token.open())


def _finish(push: HubPush, pushed: Pushed, upload: Upload) -> None:
    """Save the result, in the transaction that ends the job."""
    page = f"datasets/{push.repo_id}" if push.repo_type == "dataset" else push.repo_id
    result = {
        "url": f"{settings.HF_ENDPOINT}/{page}",
        "commit": pushed.commit,
        "is_new_commit": pushed.is_new,
        **upload.kept,
    }
    for name, value in result.items():
        setattr(push, name, value)
    push.save(update_fields=list(result))
    _record(push, push.created_by, "pushed", commit=push.commit)


def _record(push: HubPush, actor: User | None, action: str, **facts: str | bool) -> None:
    record(org=push.org, actor=actor, action=f"{push.what}.{action}", target=push.repo_id, **facts)
