"""What an attempt leaves on the disk. Work is written to `<artifacts>/<subject>/*/<job>-<attempt>`,
so that what a dead attempt left is known by its name. Checkpoints outlive attempts."""

import logging
import shutil
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from modelstation.core.models import Job

logger = logging.getLogger("modelstation.jobs")


def discard_attempt(job: Job) -> None:
    """Delete what this attempt wrote, unless it was published. Never raises: it is called on the
    way out, and what is left over hurts nobody."""
    try:
        published = Job.objects.filter(
            id=job.id, state=Job.State.SUCCEEDED, attempt=job.attempt
        ).exists()
        has_subject = published or Job.objects.filter(subject_id=job.subject_id).exists()
    except (DatabaseError, InterfaceError):
        return  # it may have been published
    root, name = Path(settings.ARTIFACTS_DIR) / str(job.subject_id), f"{job.id}-{job.attempt}"
    if not has_subject:  # deleted meanwhile, with its files; some were written after that
        shutil.rmtree(root, ignore_errors=True)
    elif not published:
        # Artifacts are written beside their place first.
        for folder in (*root.glob(f"*/{name}"), *root.glob(f"*/.{name}-*")):
            shutil.rmtree(folder, ignore_errors=True)
