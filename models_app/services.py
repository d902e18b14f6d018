"""Actions on a model itself, and the one place where its status changes."""

import uuid
from typing import Any

from django.db import transaction
from django.utils.text import slugify

from accounts.audit import record
from accounts.models import Organization, User
from models_app.access import lock as lock
from models_app.contract.services import freeze_contract
from models_app.drafts import check_curation, check_student
from models_app.models import CustomModel
from modelstation.core.errors import Busy

Status = CustomModel.Status


def edit_system_prompt(*, actor: User, model: CustomModel, system_prompt: str) -> None:
    """Set it for the next build; a version is served with the prompt that it was trained with."""
    with transaction.atomic():
        model.system_prompt = system_prompt.strip()
        model.save(update_fields=["system_prompt", "updated_at"])
        record(org=model.org, actor=actor, action="model.edit_system_prompt", target=model)


def set_curation(*, actor: User, model: CustomModel, curation: str) -> None:
    """Set it for the next selection; a dataset that waits for review goes on waiting."""
    check_curation(curation)
    with transaction.atomic():
        model.curation = curation
        model.save(update_fields=["curation", "updated_at"])
        details = {"target": model, "curation": curation}
        record(org=model.org, actor=actor, action="model.set_curation", **details)


def set_student(*, actor: User, model: CustomModel, student: str) -> None:
    """Set it for the next training; versions stay what they are."""
    check_student(student)
    with transaction.atomic():
        model.student = student
        model.save(update_fields=["student", "updated_at"])
        details = {"target": model, "student": student}
        record(org=model.org, actor=actor, action="model.set_student", **details)


def begin_stage(model_id: uuid.UUID, status: CustomModel.Status) -> None:
    """Freeze the contract and set the status, before the work of the stage looks at any data."""
    with transaction.atomic():
        model = lock(model_id)
        freeze_contract(model)
        set_status(model, status)


def end_review(*, model_id: uuid.UUID) -> None:
    """End the wait for a review after which nothing was frozen."""
    model = lock(model_id)
    if model.status == Status.REVIEW:
        status = Status.READY if model.live_version_id else Status.CANCELLED
        set_status(model, status, "The dataset under review was discarded.")


def lock_for_build(
    model_id: uuid.UUID, *, hint: str = "Cancel that build or let it end first."
) -> CustomModel:
    """Lock the model. Raise Busy while it is being built: there is one build at a time."""
    model = lock(model_id)
    if model.is_live_work:
        raise Busy("This model is being built already.", code="already_building", hint=hint)
    return model


def set_status(
    model: CustomModel, status: CustomModel.Status, reason: str = "", **fields: Any
) -> None:
    """Save the status, its reason, and the `fields` that change with it."""
    changes = {"status": status, "status_reason": reason, **fields}
    for name, value in changes.items():
        setattr(model, name, value)
    model.save(update_fields=[*changes, "updated_at"])


def free_slug(org: Organization, name: str) -> str:
    wanted = slugify(name)[:70] or "model"
    alike = CustomModel.objects.filter(org=org, slug__startswith=wanted)
    taken = set(alike.values_list("slug", flat=True))
    if wanted not in taken:
        return wanted
    return next(f"{wanted}-{n}" for n in range(2, len(taken) + 3) if f"{wanted}-{n}" not in taken)
