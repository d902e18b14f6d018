"""The acceptance contract: what a model must do, compiled to checks, and frozen before any data is
touched.

`CustomModel.contract` holds
    written     the criteria as they were written
    metric      the metric of the scores, chosen from the kind of task where none was named
    checks      what the criteria were compiled to, each with its plain `words`
    unread      what no check could be read out of, with what to write instead
    checks_digest  the compiler's own, by which the evaluator knows that they are what was frozen
    test_rows   {"count", "sha256"} of the rows that the user holds out; {} for the frozen split
    digest      SHA-256 of all of this
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.audit import record
from accounts.models import User
from models_app.drafts import ModelDraft, check_metric, check_pairs
from models_app.models import CustomModel
from models_app.understanding import facts_of, understood
from modelstation.core.errors import Conflict, UserFacingError
from training.scoring.criteria import compile_contract

METRIC_OF_TASK = {
    "classify": "exact_match",
    "extract_json": "json_equal",
    "sql": "exact_match",
    "number": "final_number_match",
}
DEFAULT_METRIC = "rougeL_f1"
FIELDS = ("success_criteria", "metric", "test_rows")
WRITE_INSTEAD = (
    "Write a metric and a bound, such as “exact match of at least 90 %”, “at least 95 % valid "
    "JSON”, “macro F1 >= 0.8” or “better than its base”."
)


def compiled(asked: CustomModel | ModelDraft) -> dict[str, Any]:
    """The contract as it would be frozen now."""
    try:
        checks = _compile(asked)
    except ValueError as error:
        raise UserFacingError(str(error), param="success_criteria", hint=WRITE_INSTEAD) from error
    contract = {
        "written": list(asked.success_criteria),
        "metric": checks["metric"],
        "checks": checks["checks"],
        "unread": [_unread(item) for item in checks["unread"]],
        "checks_digest": checks["digest"],
        "test_rows": _facts_of(asked.test_rows),
    }
    return contract | {"digest": _digest(contract)}


def _compile(asked: CustomModel | ModelDraft) -> dict[str, Any]:
    """Compile the criteria to checks. Raise ValueError for a criterion that is malformed."""
    intent = _intent(asked)
    metric = asked.metric or METRIC_OF_TASK.get(intent.get("task_kind", ""), DEFAULT_METRIC)
    labels = intent.get("labels") or None
    return dict(compile_contract(asked.success_criteria, metric=metric, labels=labels))


def _intent(asked: CustomModel | ModelDraft) -> dict[str, Any]:
    """As understood from a dataset that is there, else from the requirement."""
    if isinstance(asked, CustomModel) and not asked._state.adding:
        dataset = asked.dataset_versions.frozen().select_related("run").first()
        if dataset is not None and dataset.run.intent:
            return dict(dataset.run.intent)
    return facts_of(understood(asked))


def _unread(item: str | Mapping[str, str]) -> dict[str, str]:
    if isinstance(item, str):
        return {"sentence": item, "hint": WRITE_INSTEAD}
    return {"sentence": item["sentence"], "hint": item.get("hint") or WRITE_INSTEAD}


def _facts_of(rows: list[dict[str, str]]) -> dict[str, Any]:
    return {"count": len(rows), "sha256": _digest(rows)} if rows else {}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def contract_of(model: CustomModel) -> dict[str, Any]:
    """As it was frozen, else as it would be now: the intent may have been corrected since."""
    return model.contract if model.contract_frozen_at else compiled(model)


def edit_contract(*, actor: User, model: CustomModel, changes: dict[str, Any]) -> CustomModel:
    """Set the FIELDS given in `changes`; others stay. Refused once it is frozen."""
    with transaction.atomic():
        model = _locked(model)
        if model.contract_frozen_at:
            _refuse(model)
        _check(changes)
        for name, value in changes.items():
            setattr(model, name, value)
        model.contract = compiled(model)
        model.save(update_fields=[*changes, "contract", "updated_at"])
        record(
            org=model.org,
            actor=actor,
            action="model.edit_contract",
            target=model,
            fields=sorted(changes),
            digest=model.contract_digest,
        )
    return model


def _refuse(model: CustomModel) -> None:
    frozen = f"{model.contract_frozen_at:%-d %B %Y, %H:%M} UTC"
    raise Conflict(
        f"The contract of “{model.name}” was frozen on {frozen}, before its data was touched, and "
        "cannot change any more.",
        code="contract_frozen",
        hint="Make a copy as a new model: it keeps everything, and its contract is open again.",
    )


def _check(changes: dict[str, Any]) -> None:
    if "metric" in changes:
        check_metric(changes["metric"])
    if "test_rows" in changes:
        check_pairs(changes["test_rows"], "test_rows")


def freeze_contract(model: CustomModel) -> None:
    """Called under the model's row lock, before its work looks at any data. One that is frozen
    stays as it is.
    """
    if model.contract_frozen_at:
        return
    model.contract = compiled(model)
    model.contract_frozen_at = timezone.now()
    model.save(update_fields=["contract", "contract_frozen_at", "updated_at"])
    record(
        org=model.org,
        actor=None,
        action="model.freeze_contract",
        target=model,
        digest=model.contract_digest,
    )


def _locked(model: CustomModel) -> CustomModel:
    rows = CustomModel.objects.select_for_update(of=("self",)).select_related("org", "base")
    found: CustomModel = rows.get(id=model.id)
    return found
