"""The job of a teacher: its task from the rows of the model, its rows into the model's own source.

A worker that takes over from one that died does the same again; what was answered is read from the
table of requests, so that nothing is paid twice.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from django.utils import timezone

from distillation.model_data.services import use_source
from distillation.model_data.storing import NewRow, store_rows
from distillation.models import CorpusExample, ImportRun, ModelSource, SourceDataset, TeacherRun
from distillation.pipeline.provenance import Provenance
from distillation.pipeline.text import clip
from distillation.pipeline.types import Example
from distillation.pipeline.understand.labels import label_key
from distillation.teachers import working
from distillation.teachers.asking import Asker
from distillation.teachers.filtering.repeats import Embed
from distillation.teachers.filtering.rows import TaughtRow
from distillation.teachers.prompts import VERSION
from distillation.teachers.working import Outcome, Task, Work
from models_app.understanding import requirement_of, understood
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job

SAMPLES, SAMPLE_CHARS = 5, 300  # of rows that were thrown away, for each reason
Action = TeacherRun.Action


def teach(job: Job, lease: Lease) -> Publish:
    from modelstation.lm.embedding import load_embedder

    runs = TeacherRun.objects.select_related("org", "model", "teacher", "given", "created_by")
    run = runs.filter(id=job.subject_id).first()
    if run is None:
        raise Conflict("The model of this run was deleted.", code="model_deleted")
    if run.teacher is None:
        message = "The teacher of this run was deleted."
        raise Conflict(message, code="teacher_deleted", hint="Choose another and start anew.")
    run.job = job  # another one, when the first was requeued
    run.save(update_fields=["job"])
    lease.stage("ask", f"Asking {run.teacher_name}")
    asker = Asker(run, run.teacher, lease)
    task = _task(run, load_embedder().embed)
    work = Work(task, asker, lambda rows: _show(run, rows, lease))
    outcome = _do(run, work)
    lease.stage("store", "Storing the rows that passed")
    source = _store(run, outcome, lease) if run.action != Action.JUDGE else None
    return lambda: _publish(run, outcome, source)


def _do(run: TeacherRun, work: Work) -> Outcome:
    match run.action:
        case Action.LABEL:
            return working.label(work, run.inputs)
        case Action.REWRITE:
            return working.rewrite(work, _given(run), run.rows)
        case Action.JUDGE:
            return working.judge(work, _given(run))
        case _:
            return working.write(work, run.rows)


def _task(run: TeacherRun, embed: Embed) -> Task:
    """The rows that the model has already steer what is written, and are not said again."""
    model = run.model
    pairs = list(_rows_of(ModelSource.objects.filter(model=model).values("source"), run))
    return Task(
        requirement=requirement_of(model),
        intent=understood(model),
        seed=run.seed,
        embed=embed,
        known=[pair.input for pair in pairs],
        held_out=[Example(row["input"], row["output"]) for row in model.test_rows],
        counts=Counter(label_key(pair.output) for pair in pairs),
    )


def _rows_of(sources: object, run: TeacherRun) -> Iterator[Example]:
    """Without those that this run stored itself, before it was interrupted."""
    rows = CorpusExample.objects.filter(source__in=sources)  # type: ignore[misc]
    if run.import_run_id:
        rows = rows.exclude(import_run=run.import_run_id)
    for messages in rows.order_by("id").values_list("messages", flat=True):
        users = [turn["content"] for turn in messages if turn["role"] == "user"]
        if users and messages[-1]["role"] == "assistant":
            yield Example(users[-1], messages[-1]["content"])


def _given(run: TeacherRun) -> list[Example]:
    if run.given is None:
        message = "The source of this run was deleted."
        raise Conflict(message, code="source_deleted", hint="Choose another and start anew.")
    return list(_rows_of([run.given.id], run))[: run.rows]


def _show(run: TeacherRun, rows: Sequence[TaughtRow], lease: Lease) -> None:
    """What the page shows while it works."""
    kept = sum(row.is_kept for row in rows)
    wanted = len(run.inputs) or run.rows
    _note(run, rows)
    TeacherRun.objects.filter(id=run.id).update(
        row_count=kept, refused=run.refused, flags=run.flags
    )
    lease.progress(step=min(kept, wanted), total_steps=wanted, written=len(rows))


def _note(run: TeacherRun, rows: Sequence[TaughtRow]) -> None:
    refused: dict[str, list[TaughtRow]] = {}
    for row in rows:
        if not row.is_kept:
            refused.setdefault(row.refusal, []).append(row)
    run.row_count = sum(row.is_kept for row in rows)
    run.flags = dict(Counter(flag for row in rows if row.is_kept for flag in row.flags))
    run.refused = [
        {"reason": reason, "rows": len(those), "samples": [_sample(r) for r in those[:SAMPLES]]}
        for reason, those in sorted(refused.items(), key=lambda item: -len(item[1]))
    ]


def _sample(row: TaughtRow) -> dict[str, str]:
    shown = {"input": row.input, "output": row.output, "detail": row.detail}
    return {name: clip(text, SAMPLE_CHARS) for name, text in shown.items()}


def _store(run: TeacherRun, outcome: Outcome, lease: Lease) -> SourceDataset | None:
    from modelstation.lm.embedding import load_embedder

    accepted = outcome.accepted
    if not accepted:
        raise _nothing_usable(run, outcome)
    if run.import_run is None:
        run.import_run = ImportRun.objects.create(
            org=run.org,
            origin=_origin(run),
            created_by=run.created_by,
            options={"source": source_name(run)},
        )
        run.save(update_fields=["import_run"])
    _, source = store_rows(
        run=run.import_run,
        kind=SourceDataset.Kind.TEACHER,
        name=source_name(run),
        rows=lambda: [_new_row(run, row) for row in accepted],
        origin=_origin(run),
        lease=lease,
        embedder=load_embedder,
    )
    return source


def source_name(run: TeacherRun) -> str:
    return f"{run.model.slug[:60]}-teacher"


def _origin(run: TeacherRun) -> str:
    return f"{run.teacher_name}: {run.action} for {run.model.name}"


def _new_row(run: TeacherRun, row: TaughtRow) -> NewRow:
    provenance = Provenance(
        labelled_by="teacher",
        who=run.teacher_name,
        confidence=row.confidence,
        action=run.action,
        prompt_version=VERSION,
        seed=row.seed,
        cost=round(row.cost, 8),
        checked_by=("form", "repeats", "conventions", *row.checked_by),
        at=timezone.now().date().isoformat(),
    )
    return NewRow(row.input, row.output, provenance, line=row.line)


def _nothing_usable(run: TeacherRun, outcome: Outcome) -> UserFacingError:
    message = f"None of the {len(outcome.rows):,} rows of {run.teacher_name} passed the checks."
    hint = outcome.note or "See below why they were thrown away; another model may do better."
    return UserFacingError(message, code="no_rows_passed", hint=hint)


def _publish(run: TeacherRun, outcome: Outcome, source: SourceDataset | None) -> None:
    """In the transaction that ends the job."""
    _note(run, outcome.rows)
    run.note, run.source = outcome.note, source
    run.save(update_fields=["note", "source", "row_count", "refused", "flags"])
    if source is not None:
        use_source(actor=run.created_by, model=run.model, source=source)
