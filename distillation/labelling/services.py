"""Actions on the unlabelled inputs of a model: bring them, answer, undo, take the rest over."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Max
from django.utils import timezone

from accounts.audit import record
from accounts.models import User
from distillation.imports.reading.personal_data import personal_data
from distillation.imports.services import take_back
from distillation.labelling import heads
from distillation.labelling.answers import AnswerForm, answer_form
from distillation.labelling.head import label_counts
from distillation.labelling.reading import MOST_INPUTS, Inputs
from distillation.labelling.rows import Labelling, ModelInput
from distillation.models import ImportRun
from distillation.pipeline.text import input_key
from models_app.models import CustomModel
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job

State = ModelInput.State
FITTED_IN_REQUEST = 1_000  # inputs; above, a job does it
REFIT_EVERY, REFIT_LARGE_EVERY = 5, 25  # answers
INSERTED_AT_ONCE = 1_000
LEVELS = (0.02, 0.05, 0.10, 0.15, 0.20)  # of errors among what is taken over


@dataclass(frozen=True)
class Added:
    added: int
    duplicate: int
    beyond: int  # left out: the model has MOST_INPUTS, or the file went on


def add_inputs(*, actor: User, model: CustomModel, inputs: Inputs) -> Added:
    """Keep the inputs that the model does not have yet; a job embeds them."""
    if not inputs.texts:
        message = "There is no input in it."
        raise UserFacingError(message, code="no_inputs", param="inputs", hint="Write one per line.")
    with transaction.atomic():
        labelling = labelling_of(model)
        first = model.inputs.inputs().aggregate(last=Max("position"))["last"] or 0
        room = MOST_INPUTS - model.inputs.inputs().count()
        by_digest = {digest_of(text): text for text in reversed(inputs.texts)}
        known = model.inputs.inputs().filter(digest__in=list(by_digest))
        for digest in known.values_list("digest", flat=True):
            by_digest.pop(digest)
        fresh = list(reversed(by_digest.items()))
        rows = [
            ModelInput(
                org=model.org, model=model, position=first + number, text=text, digest=digest,
                flags=sorted(personal_data(text)),
            )
            for number, (digest, text) in enumerate(fresh[:room], 1)
        ]  # fmt: skip
        ModelInput.objects.bulk_create(rows, batch_size=INSERTED_AT_ONCE)
        added = Added(len(rows), len(inputs.texts) - len(fresh), len(fresh) - len(rows))
        labelling.inputs_duplicate += added.duplicate
        labelling.inputs_blank += inputs.blank
        labelling.inputs_too_long += inputs.too_long + inputs.unreadable
        labelling.save()
        if not rows and added.beyond:
            raise Conflict(f"This model has {MOST_INPUTS:,} inputs, the most.", code="too_many")
        if rows:
            record(org=model.org, actor=actor, action="labelling.add", target=model, rows=len(rows))
            _work(labelling)
    return added


def digest_of(text: str) -> str:
    return hashlib.sha256(input_key(text).encode()).hexdigest()


def labelling_of(model: CustomModel) -> Labelling:
    """Return the labelling of the model, locked; made where there is none."""
    Labelling.objects.get_or_create(model=model, defaults={"org": model.org})
    rows = Labelling.objects.select_for_update(of=("self",), no_key=True).select_related("job")
    result: Labelling = rows.get(model=model)
    return result


def answer_input(*, actor: User, row: ModelInput, answer: str) -> ModelInput:
    """Say what is right for it, at first or once more: the newer word counts."""
    fitting = answer_form(row.model).fitting(answer)
    return _decide(actor, row, State.ANSWERED, fitting)


def set_state(*, actor: User, row: ModelInput, state: str) -> ModelInput:
    """Skip it, leave it out as not usable, or open it again, which forgets its answer."""
    if state not in (State.OPEN, State.SKIPPED, State.UNUSABLE):
        message = "An input is open, skipped or unusable; it is answered by its answer."
        raise UserFacingError(message, code="unknown_state", param="state")
    return _decide(actor, row, state, "")


def undo(*, actor: User, model: CustomModel) -> ModelInput | None:
    """Open again what this person decided last. None where there is nothing."""
    mine = model.inputs.inputs().exclude(state=State.OPEN).filter(answered_by=actor)
    last: ModelInput | None = mine.select_related("model").order_by("-answered_at").first()
    return None if last is None else set_state(actor=actor, row=last, state=State.OPEN)


def _decide(actor: User, row: ModelInput, state: str, answer: str) -> ModelInput:
    row.state, row.answer = state, answer
    row.answered_by, row.answered_at = actor, timezone.now()
    if state == State.OPEN:
        row.rank = 0  # what was undone is asked next
    row.save(update_fields=["state", "answer", "answered_by", "answered_at", "rank"])
    refit_if_due(row.model)
    return row


def refit_if_due(model: CustomModel) -> None:
    """Learn anew after a few answers: at once for a small set, by a job for a large one."""
    labelling = Labelling.objects.select_related("job").get(model=model)
    decided = model.inputs.filter(state__in=[State.ANSWERED, State.SKIPPED]).count()
    rows = model.inputs.all()
    is_small = rows.count() <= FITTED_IN_REQUEST
    wanted = REFIT_EVERY if is_small else REFIT_LARGE_EVERY
    if abs(decided - labelling.estimate.get("decided", 0)) < wanted:
        return
    if is_small and not rows.filter(vector=None).exists():
        heads.fit(model)
        if model.live_version_id is None or answer_form(model).is_classified:
            return  # there is nothing to pre-fill
    with transaction.atomic():
        _work(labelling_of(model))


def take_over(*, actor: User, model: CustomModel, level: float) -> Labelling:
    """Make rows of the answers, and of the proposals that are sure enough; a job does it.

    It uses them for the model from its next build on, and may be repeated.
    """
    if not 0 < level <= max(LEVELS):
        message = f"At most {max(LEVELS):.0%} of what is taken over may be wrong."
        raise UserFacingError(message, code="bad_level", param="level")
    with transaction.atomic():
        labelling = labelling_of(model)
        if not model.inputs.answered().exists():
            message = "Nothing is answered yet."
            hint = "Answer some inputs first."
            raise Conflict(message, code="nothing_answered", hint=hint)
        labelling.level, labelling.wants_rows, labelling.wanted_by = level, True, actor
        labelling.save()
        record(org=model.org, actor=actor, action="labelling.take_over", target=model, level=level)
        _work(labelling)
    return labelling


def _work(labelling: Labelling) -> None:
    """Let a job do what there is to do; one that still waits will do this too."""
    if labelling.job is not None and labelling.job.state == Job.State.QUEUED:
        return
    labelling.error_text = ""
    labelling.job = jobs.submit(kind="label", org=labelling.org, subject_id=labelling.model_id)
    labelling.save(update_fields=["job", "error_text"])


def settle_ended_labelling(job: Job) -> None:
    """Run in the transaction that ends a job without success: no half of its rows stays."""
    for run in ImportRun.objects.filter(job=job, state=ImportRun.State.RUNNING):
        take_back(run)
        is_cancelled = job.state == Job.State.CANCELLED
        run.state = ImportRun.State.CANCELLED if is_cancelled else ImportRun.State.FAILED
        run.error_text, run.finished_at = job.error_text, timezone.now()
        run.save(update_fields=["state", "error_text", "finished_at"])
    failed = Labelling.objects.filter(job=job)
    failed.update(wants_rows=False, error_text=job.error_text)


@dataclass(frozen=True)
class Summary:
    """How far the labelling of a model is."""

    inputs: int
    open: int
    answered: int
    skipped: int
    unusable: int
    with_personal_data: int
    unembedded: int
    labels: dict[str, int]
    labelling: Labelling | None

    @property
    def decided(self) -> int:
        return self.inputs - self.open

    @property
    def estimate(self) -> dict[str, Any]:
        return self.labelling.estimate if self.labelling else {}


def summary_of(model: CustomModel, form: AnswerForm | None = None) -> Summary:
    rows = model.inputs.inputs()
    states = Counter(rows.order_by().values_list("state", flat=True))
    form = form or answer_form(model)
    said = rows.answered().order_by().values_list("answer", flat=True)
    return Summary(
        inputs=sum(states.values()),
        open=states[State.OPEN],
        answered=states[State.ANSWERED],
        skipped=states[State.SKIPPED],
        unusable=states[State.UNUSABLE],
        with_personal_data=rows.exclude(flags=[]).count(),
        unembedded=rows.filter(vector=None).count(),
        labels=label_counts(list(said), form.labels) if form.is_classified else {},
        labelling=Labelling.objects.filter(model=model).select_related("job", "source").first(),
    )


def next_input(model: CustomModel) -> ModelInput | None:
    row: ModelInput | None = model.inputs.open().select_related("model__org").first()
    return row


def answered_rows(model: CustomModel) -> Any:
    """For the job: the answers and the sure proposals, in one order."""
    rows = model.inputs.inputs().select_related("answered_by")
    sure = rows.filter(state=State.OPEN, is_sure=True)
    return (rows.answered() | sure).annotate(said=F("answer")).order_by("position")
