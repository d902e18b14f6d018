"""Actions on teachers, and on what they are asked to do."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from accounts.audit import record
from accounts.models import Organization, User
from distillation.imports.services import take_back
from distillation.models import ImportRun, SourceDataset
from distillation.teachers import prompts, wire
from distillation.teachers.estimates import BUDGET_FACTOR, Estimate, estimate
from distillation.teachers.rows import MOST_AT_ONCE, Teacher, TeacherRun
from models_app.models import CustomModel, FoundationModel
from models_app.understanding import requirement_of, understood
from modelstation.core import outbound
from modelstation.core.errors import Busy, Conflict, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job

PLAIN = re.compile(r"[!-~]*")  # what a header can carry
MOST_ROWS = 20_000  # of one run
MOST_INPUTS = 5_000
MOST_INPUT_CHARS = 20_000
SHOWN_MODELS = 20
MOST_COUNT = 2**31 - 1  # that a column holds
MOST_MONEY = Decimal("999999.999999")
Action = TeacherRun.Action
FIELDS = (
    "name", "kind", "base_url", "model_name", "api_key", "base", "prompt_price",
    "completion_price", "currency", "requests_per_minute", "max_concurrent", "terms",
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """Empty: twice the estimate, so that nothing is ever unlimited."""

    requests: int | None = None
    tokens: int | None = None
    cost: Decimal | None = None


@dataclass(frozen=True)
class RunDraft:
    """What a teacher is to do for a model."""

    action: str = Action.WRITE
    rows: int = 200
    inputs: tuple[str, ...] = ()
    source: SourceDataset | None = None
    seed: int = 0
    budget: Budget = field(default_factory=Budget)


# --- teachers -------------------------------------------------------------------------------------


def create_teacher(*, actor: User, org: Organization, **fields: Any) -> Teacher:
    """Raise UserFacingError for an address that nothing may be sent to."""
    teacher = Teacher(org=org, created_by=actor, **fields)
    _refuse_wrong(teacher)
    with transaction.atomic():
        _save(teacher)
        record(org=org, actor=actor, action="teacher.create", target=teacher)
    return teacher


def change_teacher(*, actor: User, org: Organization, teacher: Teacher, **changes: Any) -> Teacher:
    """A key that is left out stays. Another address needs its key anew: a stored key is never sent
    to an address that it was not given for."""
    is_moved = changes.get("base_url", teacher.base_url) != teacher.base_url
    if is_moved and teacher.api_key and not changes.get("api_key"):
        message = "The address changes, so the key is needed again."
        hint = "A stored key is never sent to another address."
        raise Conflict(message, code="key_needed", param="api_key", hint=hint)
    for name, value in changes.items():
        setattr(teacher, name, value)
    _refuse_wrong(teacher)
    with transaction.atomic():
        _save(teacher)
        changed = sorted(changes)  # names only: no key comes into the audit
        record(org=org, actor=actor, action="teacher.change", target=teacher, changed=changed)
    return teacher


def delete_teacher(*, actor: User, org: Organization, teacher: Teacher) -> None:
    with transaction.atomic():
        if teacher.runs.filter(job__state__in=Job.LIVE_STATES).exists():
            message = f"{teacher} is at work."
            raise Busy(message, code="teacher_at_work", hint="Cancel its run first.")
        record(org=org, actor=actor, action="teacher.delete", target=teacher)
        teacher.delete()


def _refuse_wrong(teacher: Teacher) -> None:
    if teacher.kind == Teacher.Kind.BASE:
        is_there = FoundationModel.objects.filter(pk=teacher.base_id, is_installed=True).exists()
        if not is_there:
            raise UserFacingError("Choose a base that is installed.", param="base")
    else:
        outbound.check_url(teacher.base_url, param="base_url", allow_private=teacher.org_id is None)
        if not teacher.model_name:
            message = "Name the model that answers, as the endpoint calls it."
            raise UserFacingError(message, param="model_name")
        if isinstance(teacher.api_key, str) and not PLAIN.fullmatch(teacher.api_key):
            message = "A key holds no blank, line break or letter beyond ASCII."
            raise UserFacingError(message, param="api_key")
    if not 1 <= teacher.max_concurrent <= MOST_AT_ONCE:
        message = f"From 1 to {MOST_AT_ONCE} requests may be sent at a time."
        raise UserFacingError(message, param="max_concurrent")
    if teacher.requests_per_minute < 1:
        raise UserFacingError("At least one request a minute.", param="requests_per_minute")


def _save(teacher: Teacher) -> None:
    try:
        with transaction.atomic():
            teacher.save()
    except IntegrityError:
        message = f"You have a teacher “{teacher.name}” already."
        raise Conflict(message, code="teacher_exists", param="name") from None
    if not isinstance(teacher.api_key, str) or teacher.api_key:
        teacher.refresh_from_db(fields=["api_key"])  # sealed from now on


@dataclass(frozen=True)
class ConnectionTest:
    is_ok: bool
    message: str
    models: tuple[str, ...] = ()


def check_connection(teacher: Teacher) -> ConnectionTest:
    """One look at its models and one tiny request, within a few seconds each."""
    prompt = prompts.Prompt(
        "verdicts", "Answer with JSON.", 'Is two more than one? [{"input": "2", "output": "1"}]',
        {"type": "object"}, 1,
    )  # fmt: skip
    try:
        names = [] if teacher.kind == Teacher.Kind.BASE else wire.models_of(teacher)
        wire.ask(teacher, prompt, seconds=wire.LOOK_SECONDS)
    except wire.Away as away:
        return ConnectionTest(False, f"{teacher.name} gave no answer: {away}.")
    except UserFacingError as error:
        return ConnectionTest(False, error.text)
    if names and teacher.model_name not in names:
        shown = ", ".join(names[:SHOWN_MODELS])
        message = f"It answers, and does not list “{teacher.model_name}”. It lists: {shown}."
        return ConnectionTest(True, message, tuple(names))
    return ConnectionTest(True, f"{teacher.name} answers.", tuple(names))


# --- runs -----------------------------------------------------------------------------------------


def estimate_run(*, teacher: Teacher, model: CustomModel, draft: RunDraft) -> Estimate:
    """Raise UserFacingError for a run that could not be started."""
    _refuse_draft(draft)
    return estimate(
        teacher,
        requirement_of(model),
        understood(model),
        action=draft.action,
        rows=draft.rows,
        inputs=draft.inputs,
    )


def start_run(*, actor: User, model: CustomModel, teacher: Teacher, draft: RunDraft) -> TeacherRun:
    expected = estimate_run(teacher=teacher, model=model, draft=draft)
    with transaction.atomic():
        # One run of a model at a time: each looks at the rows that are there.
        CustomModel.objects.select_for_update(of=("self",)).get(id=model.id)
        _refuse_second(model)
        run = _new_run(actor, model, teacher, draft, expected)
        run.save()
        run.job = jobs.submit(kind="teach", org=run.org, subject_id=run.id)
        run.save(update_fields=["job"])
        record(
            org=run.org, actor=actor, action="teacher.run", target=model, teacher=teacher.name,
            what=run.action, rows=run.rows,
        )  # fmt: skip
    return run


def _new_run(
    actor: User, model: CustomModel, teacher: Teacher, draft: RunDraft, expected: Estimate
) -> TeacherRun:
    budget, cost = draft.budget, Decimal(expected.cost)
    max_cost = min(cost * BUDGET_FACTOR, MOST_MONEY) or None
    return TeacherRun(
        org=model.org,
        model=model,
        teacher=teacher,
        teacher_name=teacher.answers_as,
        terms=teacher.terms,
        currency=teacher.currency,
        action=draft.action,
        rows=len(draft.inputs) or draft.rows,
        inputs=list(draft.inputs),
        given=draft.source,
        seed=draft.seed,
        max_requests=min(budget.requests or expected.requests * BUDGET_FACTOR + 5, MOST_COUNT),
        max_tokens=min(budget.tokens or expected.tokens * BUDGET_FACTOR + 5_000, MOST_COUNT),
        max_cost=max_cost if budget.cost is None else budget.cost,
        estimate=expected.to_json(),
        created_by=actor,
    )


def cancel_run(*, actor: User, run: TeacherRun) -> bool:
    """Return False when it has ended already. What was answered is kept."""
    with transaction.atomic():
        if run.job is None or not jobs.request_cancel(run.job):
            return False
        record(org=run.org, actor=actor, action="teacher.cancel", target=run.model)
    return True


def go_on(*, actor: User, run: TeacherRun, is_closing: bool) -> TeacherRun:
    """Take up a run that failed or was cancelled: to the end, or (`is_closing`) only as far as it
    was answered, so that its rows so far are used. Nothing that was answered is paid again."""
    with transaction.atomic():
        CustomModel.objects.select_for_update(of=("self",)).get(id=run.model_id)
        run = TeacherRun.objects.select_related("job", "org", "model").get(id=run.id)
        _refuse_second(run.model)
        if run.job is None or run.job.state == Job.State.SUCCEEDED:
            raise Conflict("This run is complete.", code="run_complete")
        run.is_closing, run.note = is_closing, ""
        run.job = jobs.requeue(run.job)
        run.save(update_fields=["is_closing", "note", "job"])
        what = "teacher.use_rows_so_far" if is_closing else "teacher.go_on"
        record(org=run.org, actor=actor, action=what, target=run.model)
    return run


def _refuse_draft(draft: RunDraft) -> None:
    if draft.action == Action.LABEL:
        if not draft.inputs:
            raise UserFacingError("Give the inputs to label, one a line.", param="inputs")
        if len(draft.inputs) > MOST_INPUTS:
            message = f"At most {MOST_INPUTS:,} inputs are labelled in one run."
            raise UserFacingError(message, param="inputs")
        if any(len(text) > MOST_INPUT_CHARS for text in draft.inputs):
            message = f"An input may have at most {MOST_INPUT_CHARS:,} characters."
            raise UserFacingError(message, param="inputs")
    elif not 1 <= draft.rows <= MOST_ROWS:
        raise UserFacingError(f"Ask for 1 to {MOST_ROWS:,} rows.", param="rows")
    if draft.action in (Action.REWRITE, Action.JUDGE) and draft.source is None:
        raise UserFacingError("Choose the source whose rows it works on.", param="source")


def _refuse_second(model: CustomModel) -> None:
    if model.teacher_runs.filter(job__state__in=Job.LIVE_STATES).exists():
        message = "A teacher is at work for this model already."
        raise Busy(message, code="teacher_at_work", hint="Wait for its end, or cancel it.")


def settle_ended_run(job: Job) -> None:
    """Run in the transaction that ends a job without success. What was answered stays, and can be
    used or gone on with."""
    runs = TeacherRun.objects.filter(id=job.subject_id)
    for run in runs.select_related("org", "model", "import_run"):
        _take_back(run)
        TeacherRun.objects.filter(id=run.id).update(note="", import_run=None)
        record(
            org=run.org, actor=run.created_by, action=f"teacher.run_{job.state}", target=run.model,
            code=job.error_code,
        )  # fmt: skip


def _take_back(run: TeacherRun) -> None:
    """Take back rows that were stored when it ended: they are stored anew when it is gone on with,
    from what was answered."""
    stored = run.import_run
    if stored is not None and stored.state == ImportRun.State.RUNNING:
        take_back(stored)
        ImportRun.objects.filter(id=stored.id).update(state=ImportRun.State.CANCELLED)
