"""Actions that delete what is served under a name: a model, one of its versions, a checkpoint."""

import shutil

from django.conf import settings
from django.db import transaction

from accounts.audit import record
from accounts.models import Organization, User
from models_app.gateway.model_resolver import Named, named_by
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict
from modelstation.core.models import Job
from training.builds import services


def delete_named(*, actor: User, org: Organization, name: str) -> bool:
    """Delete what has this name: a model with all versions, one version, or one checkpoint. Return
    False when nothing of the organisation's has this name.
    """
    of_slug = CustomModel.objects.for_org(org).filter(slug=name)
    model = of_slug.first() if "\x00" not in name else None
    if model is not None:
        services.delete_model(actor=actor, model=model)
        return True
    named = named_by(org, name)
    if named is None:
        return False
    if named.checkpoint:
        delete_checkpoint(actor=actor, named=named)
    else:
        delete_version(actor=actor, version=named.version)
    return True


def delete_version(*, actor: User, version: ModelVersion) -> None:
    """Off its name and gone at once; its files go after the commit. The model stays."""
    folder = settings.ARTIFACTS_DIR / version.folder
    with transaction.atomic():
        jobs = Job.objects.filter(subject_id=version.model_id, kind="evaluate")
        # Any of the model's: the live one is measured beside the requested one.
        if jobs.filter(state__in=Job.LIVE_STATES).exists():
            hint = "Cancel the build, or wait for its end."
            raise Conflict("This version is being evaluated.", code="version_in_use", hint=hint)
        record(org=version.org, actor=actor, action="version.delete", target=version)
        version.delete()  # where it was live, its model has no live version now
        transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def delete_checkpoint(*, actor: User, named: Named) -> None:
    """Delete a checkpoint. The best one is the version itself, and goes with it alone."""
    version, kind = named.version, named.checkpoint
    if kind not in version.artifacts:
        message = "This checkpoint is the model's own weights."
        hint = "Delete the model without `:ckpt-step-…`."
        raise Conflict(message, code="version_in_use", hint=hint)
    with transaction.atomic():
        version.artifacts.pop(kind)
        version.save(update_fields=["artifacts"])
        record(org=version.org, actor=actor, action="checkpoint.delete", target=version, kind=kind)
        folder = settings.ARTIFACTS_DIR / version.folder / kind
        transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))
