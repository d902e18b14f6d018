"""What is live: promoted by an evaluation that passed, or by a person's word; rolled back at once.

`Promotion` rows are the history; `CustomModel.live_version` is what is served now.
"""

import uuid
from collections.abc import Iterable
from typing import Any

from django.db import transaction

from accounts.audit import record
from accounts.models import User
from models_app.access import lock
from models_app.models import CustomModel, ModelVersion, Promotion
from modelstation.core.errors import Conflict

Kind = Promotion.Kind
OVERRIDE_HINT = (
    "An owner or admin may publish it all the same, with a reason; or improve the requirement or "
    "the data, and build again. Until then it answers under its own name, such as {pinned}."
)


def publish_version(*, actor: User, version: ModelVersion, override_reason: str = "") -> None:
    """Serve this version under the model's name. One that did not pass its evaluation, or is worse
    than the live one, goes live only by a person's word, which is `override_reason`.
    """
    with transaction.atomic():
        model = lock(version.model_id)
        if model.live_version_id == version.id:
            return
        objection = objection_to(version, model.live_version_id)
        if objection and not override_reason.strip():
            hint = OVERRIDE_HINT.format(pinned=f"{model.slug}:v{version.number}")
            raise Conflict(objection, code="not_publishable", hint=hint)
        reason = override_reason.strip() if objection else ""
        _make_live(actor, model, version, Kind.PROMOTE, reason)
        notice = f"Version {version.number} is live by a person's word: {reason}" if reason else ""
        _be_ready(model, notice)


def promote_on_pass(version: ModelVersion, model: CustomModel) -> str:
    """By its evaluation, under the model's row lock. Why not; empty when it is live now."""
    objection = objection_to(version, model.live_version_id) or _uncompared(version, model)
    if not objection and model.live_version_id != version.id:
        _make_live(None, model, version, Kind.PROMOTE, "")
    return objection


def roll_back(*, actor: User, model: CustomModel) -> ModelVersion:
    """Serve again what was live before; it needs no verdict, for it was live already."""
    with transaction.atomic():
        model = lock(model.id)
        version = version_before(model.promotions.select_related("version"), model.live_version_id)
        if version is None:
            raise Conflict(
                "No other version of this model was live before.",
                code="nothing_to_roll_back_to",
                hint="Make another version live on the model's page.",
            )
        _make_live(actor, model, version, Kind.ROLLBACK, "")
        _be_ready(model, "")
    return version


def version_before(
    newest_first: Iterable[Promotion], live_id: uuid.UUID | None
) -> ModelVersion | None:
    """Return what was live before the live one: promotions pile up, and a rollback takes off what
    lies above the version that it went back to.
    """
    pile: list[ModelVersion] = []
    for promotion in reversed(list(newest_first)):
        version = promotion.version
        if promotion.kind == Kind.ROLLBACK and version in pile:
            del pile[pile.index(version) :]
        pile.append(version)
    while pile and pile[-1].id == live_id:
        pile.pop()
    return pile[-1] if pile else None


# --- What speaks against a version ----------------------------------------------------------------


def objection_to(version: ModelVersion, live_id: uuid.UUID | None) -> str:
    """Why it may not go live by itself; empty when nothing speaks against it."""
    drop = drop_in_words(version, live_id)
    if not drop and version.state == ModelVersion.State.DRAFT:
        return _verdict_in_words(version)
    return drop


def _verdict_in_words(version: ModelVersion) -> str:
    number, verdict = version.number, version.scores.get("verdict")
    if verdict == "inconclusive":
        return f"The evaluation of version {number} is inconclusive, so it is not published."
    if version.scores:
        return f"Version {number} has not met its success criteria, so it is not published."
    return f"Version {number} has not been evaluated, so it is not published."


def _uncompared(version: ModelVersion, model: CustomModel) -> str:
    """Return why not: nothing goes live by itself that was not measured beside the live one."""
    live = model.live_version
    compared = (version.scores.get("live") or {}).get("version")
    if live is None or live.id == version.id or compared == str(live.id):
        return ""
    return (
        f"Version {version.number} was not measured beside version {live.number}, which is live "
        "now. Evaluate it again, or make it live yourself."
    )


def drop_in_words(version: ModelVersion, live_id: uuid.UUID | None) -> str:
    """Say how much less it scores than the live one; empty unless the whole interval is below 0."""
    live: dict[str, Any] = version.scores.get("live") or {}
    difference = live.get("difference") or {}
    if live_id is None or live.get("version") != str(live_id) or difference.get("high", 0.0) >= 0:
        return ""
    score, low, high = (f"{100 * difference[key]:+.1f}" for key in ("score", "low", "high"))
    return (
        f"Version {version.number} scores less than version {live['number']}, which is live: "
        f"{score} points (95 % interval {low} to {high}), so it is not published."
    )


# --- Making it live -------------------------------------------------------------------------------


def _make_live(
    actor: User | None, model: CustomModel, version: ModelVersion, kind: str, reason: str
) -> None:
    before = model.live_version.number if model.live_version else None
    model.live_version = version
    model.save(update_fields=["live_version", "updated_at"])
    common = {"org": model.org, "actor": actor, "verdict": version.scores.get("verdict", "")}
    evaluation_id = version.scores.get("evaluation")
    details = {"kind": kind, "override_reason": reason, "evaluation_id": evaluation_id}
    Promotion.objects.create(model=model, version=version, **common, **details)
    action = "version.publish" if kind == Kind.PROMOTE else "model.rollback"
    record(action=action, target=version, reason=reason, before=before, **common)


def _be_ready(model: CustomModel, reason: str) -> None:
    """Something is live by a person's action; a build that goes on says itself how it stands."""
    if not model.is_live_work and model.status != CustomModel.Status.REVIEW:
        model.status, model.status_reason = CustomModel.Status.READY, reason
        model.save(update_fields=["status", "status_reason", "updated_at"])
