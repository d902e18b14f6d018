"""Actions on corrections: what a person says a model should have answered.

A new one is looked at by somebody, who accepts or dismisses it. Every build takes those that are
accepted, and those that an earlier dataset held, into its training rows; why it left one out is
written beside it.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F

from accounts.audit import record
from accounts.models import User
from distillation.curation import services as curation
from distillation.curation.row_filter import same_input
from distillation.limits import REASON_CHARS, TEXT_CHARS
from distillation.models import CandidateRow, DatasetRow
from distillation.pipeline.text import clip, input_key, normalise
from distillation.pipeline.types import Correction
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict, UserFacingError

State = CandidateRow.State
TRAINED_ON = (State.ACCEPTED, State.USED)
MAX_CORRECTIONS = 2_000  # of one model: more than that is a dataset, and can be uploaded as one


@dataclass(frozen=True)
class CorrectionDraft:
    """What somebody says of one answer: validated here once, for form and API."""

    input: str
    correction: str
    wrong_answer: str = ""
    system_prompt: str = ""

    def __post_init__(self) -> None:
        for name in ("input", "correction"):
            if not getattr(self, name).strip():
                raise UserFacingError(f"The {name} is empty.", param=name)
        for name in ("input", "correction", "wrong_answer", "system_prompt"):
            if len(getattr(self, name)) > TEXT_CHARS:
                message = f"The {name} has more than {TEXT_CHARS:,} characters."
                raise UserFacingError(message.replace("_", " "), param=name)
        if normalise(self.correction) == normalise(self.wrong_answer):
            raise UserFacingError(
                "This is the answer that the model gave.",
                param="correction",
                hint="Write the answer that it should have given.",
            )


def add_correction(*, actor: User, version: ModelVersion, draft: CorrectionDraft) -> CandidateRow:
    model = version.model
    with transaction.atomic():
        row: CandidateRow = CandidateRow.objects.create(
            org=version.org,
            model=model,
            version=version,
            version_number=version.number,
            system_prompt=draft.system_prompt,
            input=draft.input.strip(),
            wrong_answer=draft.wrong_answer,
            correction=_fitting(draft.correction, model),
            created_by=actor,
        )
        _record(actor, row, "add")
    return row


def edit_correction(
    *, actor: User, row: CandidateRow, input: str | None = None, correction: str | None = None
) -> CandidateRow:
    """Change what it says. A dataset that holds it keeps the old text; the next takes the new."""
    with transaction.atomic():
        row = _locked(row)
        draft = CorrectionDraft(
            input=row.input if input is None else input,
            correction=row.correction if correction is None else correction,
            wrong_answer=row.wrong_answer,
        )
        row.input, row.correction = draft.input.strip(), _fitting(draft.correction, row.model)
        if row.state in TRAINED_ON:
            _must_not_be_held_out(row)
        row.refusal = ""
        row.save(update_fields=["input", "correction", "refusal", "updated_at"])
        _record(actor, row, "edit")
    return row


def accept_correction(*, actor: User, row: CandidateRow) -> CandidateRow:
    """Let the next build take it into its training rows, if it passes the filters."""
    with transaction.atomic():
        row = _locked(row)
        if row.state not in TRAINED_ON:
            _must_not_be_held_out(row)
            if row.model.candidate_rows.filter(state__in=TRAINED_ON).count() >= MAX_CORRECTIONS:
                message = f"{MAX_CORRECTIONS:,} corrections are accepted already."
                hint = "Upload them as rows of your own under Sources, or dismiss some."
                raise Conflict(message, code="too_many_corrections", hint=hint)
            _decide(actor, row, State.ACCEPTED)
    return row


def dismiss_correction(*, actor: User, row: CandidateRow) -> CandidateRow:
    """Let the next build do without it. Datasets that hold it stay as they are."""
    with transaction.atomic():
        row = _locked(row)
        if row.state != State.DISMISSED:
            _decide(actor, row, State.DISMISSED)
    return row


DECISIONS = {"accepted": accept_correction, "dismissed": dismiss_correction}


def change_correction(
    *, actor: User, row: CandidateRow, state: str = "", **said: str
) -> CandidateRow:
    """Edit it, then decide on it; both or neither."""
    with transaction.atomic():
        if said:
            row = edit_correction(actor=actor, row=row, **said)
        return DECISIONS[state](actor=actor, row=row) if state else row


def conflict_of(row: CandidateRow) -> str:
    return conflicts_of(row.model, [row])[row.id]


def conflicts_of(model: CustomModel, rows: Sequence[CandidateRow]) -> dict[uuid.UUID, str]:
    """Return what each says against a row that is for measuring; '' where there is none. It
    takes three queries.

    The user's own held-out rows are never trained on. A row of a dataset's own test split goes to
    training with the next dataset, so there it is a matter of knowing.
    """
    tested = _test_rows(model, rows)
    return {row.id: _conflict(row, _held_out(row), tested.get(row.id)) for row in rows}


def _conflict(row: CandidateRow, held: str | None, tested: DatasetRow | None) -> str:
    if held is not None:
        same = normalise(held) == normalise(row.correction)
        said = "the same" if same else f"“{clip(held, 80)}”"
        return f"One of your held-out rows asks this and answers {said}."
    if tested is not None and normalise(tested.answer) != normalise(row.correction):
        return (
            f"Row {tested.position} of dataset {tested.version.number}, which is for testing, "
            f"answers “{clip(tested.answer, 80)}”."
        )
    return ""


def accepted_corrections(model: CustomModel) -> list[Correction]:
    """For the next build, newest first."""
    rows = model.candidate_rows.filter(state__in=TRAINED_ON).select_related("created_by", "model")
    newest = rows.order_by("-updated_at", "-id")[:MAX_CORRECTIONS]
    return [Correction(str(row.id), row.input, row.correction, reason_of(row)) for row in newest]


def reason_of(row: CandidateRow) -> str:
    """Datasets are pushed and passed on with it, so it names nobody's address."""
    by = f" by {row.created_by.email.partition('@')[0]}" if row.created_by else ""
    return f"correction of v{row.version_number}{by}, {row.created_at:%d %b %Y}"


def store_refusals(rows: Iterable[DatasetRow], refused: Mapping[str, str]) -> None:
    """Beside each correction, what the last build made of it; in the transaction of its end."""
    CandidateRow.objects.filter(id__in=[row.candidate_id for row in rows]).update(refusal="")
    for row_id, why in refused.items():
        CandidateRow.objects.filter(id=row_id).update(refusal=why[:REASON_CHARS])


def _fitting(answer: str, model: CustomModel) -> str:
    """As answers of this model are written; refused where the requirement allows no such one."""
    newest = model.dataset_versions.select_related("run").first()
    try:
        return curation.fitting(answer, newest) if newest else answer.strip()
    except UserFacingError as error:
        error.param = "correction"
        raise


def _must_not_be_held_out(row: CandidateRow) -> None:
    if _held_out(row) is not None:
        raise Conflict(
            conflict_of(row),
            code="held_out_row",
            param="input",
            hint="Held-out rows are for measuring only. Dismiss the correction, or change its "
            "input to another case of the same kind.",
        )


def _held_out(row: CandidateRow) -> str | None:
    """Return the answer of the user's held-out row that asks the same."""
    key = input_key(row.input)
    same = (held for held in row.model.test_rows if input_key(held["input"]) == key)
    result = next(same, None)
    return str(result["output"]) if result else None


def _test_rows(model: CustomModel, rows: Sequence[CandidateRow]) -> dict[uuid.UUID, DatasetRow]:
    """Of the newest frozen dataset, those that ask the same as one of these."""
    newest = model.dataset_versions.frozen().first()
    if newest is None or not rows:
        return {}
    own = CandidateRow.objects.filter(id__in=[row.id for row in rows])
    keys = dict(own.order_by().annotate(key=same_input(F("input"))).values_list("id", "key"))
    tested = newest.rows.kept().filter(split=DatasetRow.Split.TEST).select_related("version")
    inputs = tested.spoken().annotate(key=same_input(F("said_input")))
    result = {row.key: row for row in inputs.filter(key__in=keys.values())}
    return {row_id: result[key] for row_id, key in keys.items() if key in result}


def _decide(actor: User, row: CandidateRow, state: str) -> None:
    row.state, row.decided_by, row.refusal = state, actor, ""
    row.save(update_fields=["state", "decided_by", "refusal", "updated_at"])
    _record(actor, row, state)


def _locked(row: CandidateRow) -> CandidateRow:
    rows = CandidateRow.objects.select_for_update(of=("self",), no_key=True)
    result: CandidateRow = rows.select_related("model", "org").get(id=row.id)
    return result


def _record(actor: User, row: CandidateRow, action: str) -> None:
    record(
        org=row.org, actor=actor, action=f"correction.{action}", target=row.model, row=str(row.id)
    )
