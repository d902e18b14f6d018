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
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, TypedDict

from django.db import transaction
from django.utils import timezone

from accounts.audit import record
from accounts.models import User
from distillation.pipeline.choose.splits import split_sizes
from distillation.pipeline.intent_facts import IntentFacts
from distillation.pipeline.types import SelectionConfig
from models_app.access import lock
from models_app.drafts import ModelDraft, check_metric, check_pairs
from models_app.models import CustomModel
from models_app.understanding import understood
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.models import Job
from training.scoring.criteria import CompiledChecks, compile_contract
from training.scoring.criterion import CheckJson
from training.scoring.metrics import default_metric, objection_to_metric
from training.scoring.outcomes import needs

FIELDS = ("success_criteria", "metric", "test_rows")
WRITE_INSTEAD = (
    "Write a metric and a bound, such as “exact match of at least 90 %”, “at least 95 % valid "
    "JSON”, “macro F1 >= 0.8” or “better than its base”."
)


class Unread(TypedDict):
    sentence: str
    hint: str  # what to write instead


class RowFacts(TypedDict, total=False):
    count: int
    sha256: str


@dataclass(frozen=True)
class Contract:
    """See the top of this file. One with an `objection`, to its metric, is not kept."""

    written: list[str]
    metric: str
    checks: list[CheckJson]
    unread: list[Unread]
    checks_digest: str
    test_rows: RowFacts
    digest: str
    objection: str = ""
    needs: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read a stored contract; the very first ones have no `checks_digest`."""
        return cls(**{"checks_digest": "", **stored})

    def to_json(self) -> dict[str, Any]:
        kept = asdict(self)
        del kept["objection"], kept["needs"]
        return kept

    def compiled_checks(self) -> CompiledChecks:
        """Return what the evaluation judges by."""
        unread = [item["sentence"] for item in self.unread]
        return CompiledChecks(self.metric, self.checks, unread, self.checks_digest)


def compiled(source: CustomModel | ModelDraft) -> Contract:
    """Compile the contract as it would be frozen now."""
    try:
        checks = _compile(source)
    except ValueError as error:
        raise UserFacingError(str(error), param="success_criteria", hint=WRITE_INSTEAD) from error
    rows = source.test_rows
    contract = Contract(
        written=list(source.success_criteria),
        metric=checks.metric,
        checks=checks.checks,
        unread=[Unread(sentence=sentence, hint=WRITE_INSTEAD) for sentence in checks.unread],
        checks_digest=checks.digest,
        test_rows={"count": len(rows), "sha256": _digest(rows)} if rows else {},
        digest="",
        objection=checks.objection,
        needs=_needs(source, checks),
    )
    hashed = contract.to_json()
    del hashed["digest"]
    return replace(contract, digest=_digest(hashed))


def new_contract(source: CustomModel | ModelDraft) -> dict[str, Any]:
    """Return the contract to keep. Refused where its metric cannot be measured for the task."""
    contract = compiled(source)
    if contract.objection:
        hint = "Choose another metric, or none: one is chosen by the kind of task."
        raise UserFacingError(contract.objection, param="metric", hint=hint)
    return contract.to_json()


def _compile(source: CustomModel | ModelDraft) -> CompiledChecks:
    """Compile the criteria to checks. Raise ValueError for a criterion that is malformed."""
    intent = _intent(source)
    metric = source.metric or default_metric(intent.task_kind)
    labels = list(intent.labels) or None
    checks = compile_contract(source.success_criteria, metric=metric, labels=labels)
    inputs = [row["input"] for row in source.test_rows]
    answers = [row["output"] for row in source.test_rows]
    objection = objection_to_metric(metric, intent.task_kind, inputs, answers)
    return replace(checks, objection=objection)


def _needs(source: CustomModel | ModelDraft, checks: CompiledChecks) -> tuple[str, ...]:
    """Say how many rows have to be right: of the user's, else of those set aside of a dataset."""
    answers = [row["output"] for row in source.test_rows]
    rows, _ = split_sizes(source.rows, SelectionConfig(), held_out=False)
    return tuple(needs(checks.criteria().checks, len(answers) or rows, answers))


def _intent(source: CustomModel | ModelDraft) -> IntentFacts:
    """Return it as understood from a dataset that is there, else from the requirement."""
    if isinstance(source, CustomModel) and not source._state.adding:
        dataset = source.dataset_versions.frozen().select_related("run").first()
        if dataset is not None and dataset.run.intent:
            facts: IntentFacts = dataset.run.intent_facts
            return facts
    return IntentFacts.of(understood(source))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def contract_of(model: CustomModel) -> Contract:
    """Return it as it was frozen, else as it would be now, after the intent's corrections."""
    return Contract.from_json(model.contract) if model.contract_frozen_at else compiled(model)


def edit_contract(*, actor: User, model: CustomModel, changes: dict[str, Any]) -> CustomModel:
    """Set the FIELDS given in `changes`; others stay. Refused once it is frozen."""
    with transaction.atomic():
        model = lock(model.id)
        if model.contract_frozen_at:
            _refuse(model)
        if "metric" in changes:
            check_metric(changes["metric"])
        if "test_rows" in changes:
            check_pairs(changes["test_rows"], "test_rows")
        for name, value in changes.items():
            setattr(model, name, value)
        model.contract = new_contract(model)
        model.save(update_fields=[*changes, "contract", "updated_at"])
        details = {"fields": sorted(changes), "digest": model.contract_digest}
        record(org=model.org, actor=actor, action="model.edit_contract", target=model, **details)
    return model


def _refuse(model: CustomModel) -> None:
    frozen = f"{model.contract_frozen_at:%-d %B %Y, %H:%M} UTC"
    raise Conflict(
        f"The contract of “{model.name}” was frozen on {frozen}, before its data was touched, and "
        "cannot change any more.",
        code="contract_frozen",
        hint="Make a copy as a new model: it keeps everything, and its contract is open again.",
    )


def freeze_contract(model: CustomModel) -> None:
    """Freeze it under the model's row lock, before its work looks at any data."""
    if model.contract_frozen_at:
        return
    model.contract = compiled(model).to_json()
    model.contract_frozen_at = timezone.now()
    model.save(update_fields=["contract", "contract_frozen_at", "updated_at"])
    digest = model.contract_digest
    record(org=model.org, actor=None, action="model.freeze_contract", target=model, digest=digest)


def reopen_contract(model: CustomModel) -> None:
    """Open it again after a build that ended before any dataset was made: it used no data."""
    has_used_data = model.dataset_versions.exists() or model.versions.exists()
    if model.contract_frozen_at is None or has_used_data:
        return
    # A draft that was discarded leaves no dataset, but its rows were seen.
    if Job.objects.filter(kind="distil", subject_id=model.id, state=Job.State.SUCCEEDED).exists():
        return
    model.contract_frozen_at = None
    model.save(update_fields=["contract_frozen_at", "updated_at"])
    record(org=model.org, actor=None, action="model.reopen_contract", target=model)
