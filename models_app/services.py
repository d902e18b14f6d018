"""Deeds on models: create, delete, and the one place where a model's status changes."""

import shutil
import uuid
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string
from django.utils.text import slugify

from accounts.audit import record
from accounts.models import Organization, User
from models_app.bases.recommending import recommended
from models_app.contract.services import compiled, freeze_contract, new_contract
from models_app.drafts import DEFAULT_BASE, ModelDraft, check_curation, check_intent_edits
from models_app.gateway.model_resolver import tuned_name
from models_app.mails import notify_of_end
from models_app.models import CustomModel, FoundationModel, ModelVersion
from models_app.versions.promotions import promote_on_pass
from models_app.webhooks import services as webhooks
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job

Status = CustomModel.Status
JOB_KINDS = ("distil", "freeze", "train", "evaluate")
# Strings, like all tasks: training stands above this room. They raise UserFacingError for a model
# that could not be trained here.
CHECK_BEFORE_BUILDING = "training.plan.services.check_before_building"
DISCARD_EXPORTS = "training.export.services.discard_exports_of"
CHECK_BEFORE_TRAINING = "training.plan.services.check_before_training"
# What an evaluation was to measure, if nothing but its training was asked for; else None.
VERSION_AS_ASKED = "training.evaluations.services.version_as_asked"


def create_model(*, actor: User | None, org: Organization, draft: ModelDraft) -> CustomModel:
    """Make the model and enqueue its work in one transaction."""
    base, reason = _base_of(draft)
    with transaction.atomic():
        model: CustomModel = CustomModel.objects.create(
            org=org,
            name=draft.name,
            slug=free_slug(org, draft.name),
            base=base,
            created_by=actor,
            built_by=actor,
            contract=new_contract(draft),
            **draft.fields(),
        )
        import_string(CHECK_BEFORE_BUILDING)(model)
        chosen = {"base": base.name, "reason": reason}
        record(org=org, actor=actor, action="model.create", target=model, **chosen)
        jobs.submit(kind="distil", org=org, subject_id=model.id)
    return model


def _base_of(draft: ModelDraft) -> tuple[FoundationModel, str]:
    """The base asked for, else the recommended one of those installed, and why it was taken."""
    name, reason = draft.base, "asked for"
    if not name:
        advice = recommended(draft)
        name = advice.installed.name if advice.installed else DEFAULT_BASE
        reason = advice.reason if advice.is_installed else f"best installed; {advice.reason}"
    base = FoundationModel.objects.filter(name=name).first()
    if base is None or not base.is_installed:
        raise UserFacingError(
            f"The base model “{name}” is not on this installation.",
            param="base",
            hint="Choose another, or fetch it on the page of bases.",
        )
    _must_be_small_enough(base, draft.max_size_mb)
    return base, reason


def _must_be_small_enough(base: FoundationModel, max_size_mb: int | None) -> None:
    served = base.served_bytes / 1e6
    if max_size_mb is not None and served > max_size_mb:
        raise UserFacingError(
            f"{base} takes about {served:,.0f} MB when served, more than {max_size_mb:,} MB.",
            code="base_too_large",
            param="base",
            hint="Choose a smaller base, or allow more.",
        )


def delete_model(*, actor: User, model: CustomModel) -> None:
    """Delete the rows at once; files go after the commit. Work in progress is told to stop."""
    folder = settings.ARTIFACTS_DIR / str(model.id)
    with transaction.atomic():
        cancel_build(actor=actor, model=model)
        record(org=model.org, actor=actor, action="model.delete", target=model)
        import_string(DISCARD_EXPORTS)(model)
        Job.objects.filter(subject_id=model.id).delete()
        model.delete()
        transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def cancel_build(*, actor: User, model: CustomModel) -> bool:
    """Stop the model's live job. False when nothing was running."""
    with transaction.atomic():
        live = list(live_jobs(model))
        for job in live:
            jobs.request_cancel(job)
        if live:
            record(org=model.org, actor=actor, action="model.cancel", target=model)
    return bool(live)


def rebuild(*, actor: User, model: CustomModel) -> None:
    """Go again from the requirement: a new dataset, a new version."""
    with transaction.atomic():
        model = _locked(model.id)
        if model.is_live_work:
            raise UserFacingError("This model is being built already.", code="already_building")
        import_string(CHECK_BEFORE_BUILDING)(model)
        _set_status(model, Status.PENDING, built_by=actor)
        record(org=model.org, actor=actor, action="model.rebuild", target=model)
        jobs.submit(kind="distil", org=model.org, subject_id=model.id)


def live_jobs(model: CustomModel) -> Any:
    return Job.objects.filter(subject_id=model.id, state__in=Job.LIVE_STATES)


def edit_system_prompt(*, actor: User, model: CustomModel, system_prompt: str) -> None:
    """The next build uses it; a version is served with the prompt that it was trained with."""
    with transaction.atomic():
        model.system_prompt = system_prompt.strip()
        model.save(update_fields=["system_prompt", "updated_at"])
        record(org=model.org, actor=actor, action="model.edit_system_prompt", target=model)


def set_curation(*, actor: User, model: CustomModel, curation: str) -> None:
    """The next selection goes by it; a dataset that waits for review goes on waiting."""
    check_curation(curation)
    with transaction.atomic():
        model.curation = curation
        model.save(update_fields=["curation", "updated_at"])
        record(
            org=model.org,
            actor=actor,
            action="model.set_curation",
            target=model,
            curation=curation,
        )


def start_training(
    *, model_id: uuid.UUID, actor: User | None = None, is_checked: bool = False
) -> Job:
    """On the dataset that a person freezes, or froze; called in the transaction of that deed."""
    model = _locked(model_id)
    if model.is_live_work:
        raise UserFacingError(
            "This model is being built already.",
            code="already_building",
            hint="Cancel that build or let it end, then freeze the dataset.",
        )
    if not is_checked:
        import_string(CHECK_BEFORE_TRAINING)(model)
    _set_status(model, Status.TRAINING, built_by=actor or model.built_by)
    return jobs.submit(kind="train", org=model.org, subject_id=model.id)


def begin_training_again(*, actor: User, model_id: uuid.UUID) -> CustomModel:
    """For a run that is queued again; called in the transaction of that deed."""
    model: CustomModel = CustomModel.objects.select_for_update().get(id=model_id)
    if model.is_live_work:
        hint = "Cancel that build or let it end first."
        raise UserFacingError(
            "This model is being built already.", code="already_building", hint=hint
        )
    _set_status(model, Status.TRAINING, built_by=actor)
    return model


def end_review(*, model_id: uuid.UUID) -> None:
    """Nothing waits for review any more, and nothing was frozen."""
    model = CustomModel.objects.select_for_update().get(id=model_id)
    if model.status == Status.REVIEW:
        status = Status.READY if model.live_version_id else Status.CANCELLED
        _set_status(model, status, "The dataset under review was discarded.")


def correct_intent(
    *,
    actor: User,
    model: CustomModel,
    changes: dict[str, Any],
    system_prompt: str = "",
    build: bool = False,
) -> None:
    """Put right what was understood: the fields in `changes`, None for “as understood”; others
    stay. The next build uses it; `build` begins that at once.
    """
    with transaction.atomic():
        before = CustomModel.objects.select_for_update().get(id=model.id).intent_edits
        edits = {name: value for name, value in (before | changes).items() if value is not None}
        check_intent_edits(edits)
        model.intent_edits = edits
        model.save(update_fields=["intent_edits", "updated_at"])
        record(
            org=model.org,
            actor=actor,
            action="model.correct_intent",
            target=model,
            fields=sorted(name for name in changes if before.get(name) != edits.get(name)),
        )
        if system_prompt:
            edit_system_prompt(actor=actor, model=model, system_prompt=system_prompt)
        if build:
            rebuild(actor=actor, model=model)


def copy_model(*, actor: User, model: CustomModel) -> CustomModel:
    """A new model of the same requirement, whose contract is open: nothing is built before somebody
    says so.
    """
    name = f"{model.name[:73]} (copy)"
    same = "requirement objective policy examples test_rows success_criteria metric system_prompt"
    same += " base rows intent_edits curation training_config"
    with transaction.atomic():
        copy: CustomModel = CustomModel(
            org=model.org,
            name=name,
            slug=free_slug(model.org, name),
            status=Status.DRAFT,
            created_by=actor,
            **{field: getattr(model, field) for field in same.split()},
        )
        copy.contract = compiled(copy).to_json()
        copy.save()
        record(org=model.org, actor=actor, action="model.copy", target=copy, of=str(model.id))
    return copy


def begin_stage(model_id: uuid.UUID, status: CustomModel.Status) -> None:
    """Called before the work of the stage looks at any data: from here on the contract stands."""
    with transaction.atomic():
        model = _locked(model_id)
        freeze_contract(model)
        _set_status(model, status)


def begin_evaluation_again(*, model_id: uuid.UUID) -> CustomModel:
    """For a version that is measured anew; called in the transaction of that deed."""
    model = _locked(model_id)
    if model.is_live_work:
        hint = "Cancel that build or let it end first."
        raise UserFacingError(
            "This model is being built already.", code="already_building", hint=hint
        )
    freeze_contract(model)
    _set_status(model, Status.EVALUATING)
    return model


def finish_evaluation(
    *,
    version: ModelVersion,
    scores: dict[str, Any],
    passed: bool,
    reason: str,
    is_again: bool = False,
    is_trained_as_asked: bool = False,
) -> None:
    """Ready and live, or failed with the sentence that says why. What did not pass, or is worse
    than the live version, is not published; nor is one that was only measured again, while another
    one is live: that is a person's choice. Where nothing but the training was asked, it is ready
    without being live.
    """
    version.scores = scores
    version.contract_digest = scores.get("contract_digest", "")
    version.state = ModelVersion.State.READY if passed else ModelVersion.State.DRAFT
    version.save(update_fields=["scores", "contract_digest", "state"])
    model = _locked(version.model_id)
    if is_again and model.live_version_id:
        reason = f"Version {version.number}, measured again: {reason}" if reason else ""
        _set_status(model, Status.READY, reason)
        return
    objection = promote_on_pass(version, model)
    if not objection:
        _set_status(model, Status.READY, reason)
        return
    stays = f"Version {model.live_version.number} stays live." if model.live_version else ""
    why = f"{(reason if not passed else '') or objection} {stays}".strip()
    if is_trained_as_asked:
        _set_status(model, Status.READY, f"{_trained_as_asked(version)} It is not live: {why}")
        return
    _set_status(model, Status.FAILED, why)


def _trained_as_asked(version: ModelVersion) -> str:
    return (
        f"Version {version.number} is trained as its file asks and answers under its own name, "
        f"{tuned_name(version)}."
    )


def settle_ended_job(job: Job) -> None:
    """Called in the transaction that ends a job without success: its model ends with it."""
    if job.kind not in JOB_KINDS:
        return
    model = CustomModel.objects.filter(id=job.subject_id).first()
    if model is None:
        return
    is_again = _measured_again(job)
    status, reason = _end_of(job, model, is_again=is_again)
    _set_status(model, status, reason)
    webhooks.tell_of_end(model=model, job=job)
    if status == Status.FAILED or (status == Status.READY and not is_again):
        notify_of_end(model=model, job=job)


def _end_of(job: Job, model: CustomModel, *, is_again: bool) -> tuple[CustomModel.Status, str]:
    """What was only measured again leaves the model as it was."""
    is_cancelled = job.state == Job.State.CANCELLED
    if is_again and model.live_version_id:
        return Status.READY, job.error_text
    version = import_string(VERSION_AS_ASKED)(job) if is_again or not is_cancelled else None
    if version is not None:
        return Status.READY, f"{_trained_as_asked(version)} It was not measured: {job.error_text}"
    return (Status.CANCELLED if is_cancelled else Status.FAILED), job.error_text


def _measured_again(job: Job) -> bool:
    """An evaluation that no training came right before: nothing was built."""
    earlier = Job.objects.filter(subject_id=job.subject_id, created_at__lt=job.created_at)
    last = earlier.filter(kind__in=("train", "evaluate")).order_by("-created_at").first()
    return job.kind == "evaluate" and last is not None and last.kind == "evaluate"


def _locked(model_id: uuid.UUID) -> CustomModel:
    models = CustomModel.objects.select_for_update(of=("self",)).select_related(
        "base", "org", "live_version"
    )
    found: CustomModel = models.get(id=model_id)
    return found


def _set_status(
    model: CustomModel, status: CustomModel.Status, reason: str = "", **fields: Any
) -> None:
    """With `fields` that change with it."""
    changes = {"status": status, "status_reason": reason, **fields}
    for name, value in changes.items():
        setattr(model, name, value)
    model.save(update_fields=[*changes, "updated_at"])


def free_slug(org: Organization, name: str) -> str:
    wanted = slugify(name)[:70] or "model"
    taken = set(
        CustomModel.objects.filter(org=org, slug__startswith=wanted).values_list("slug", flat=True)
    )
    if wanted not in taken:
        return wanted
    return next(f"{wanted}-{n}" for n in range(2, len(taken) + 3) if f"{wanted}-{n}" not in taken)
