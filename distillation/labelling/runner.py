"""The job of labelling: embeds new inputs, learns, pre-fills, and stores rows where wanted.

Each step looks at what is still to do, so that a worker that takes over does no step twice.
"""

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.audit import record
from distillation.labelling import heads
from distillation.labelling.answers import AnswerForm, answer_form
from distillation.labelling.encoding import Encode, encode, packed
from distillation.labelling.prefill import prefill
from distillation.labelling.rows import Labelling, ModelInput
from distillation.labelling.services import answered_rows, digest_of, labelling_of
from distillation.model_data.services import use_source
from distillation.model_data.storing import NewRow, store_rows
from distillation.models import CorpusExample, ImportRun, SourceDataset
from distillation.pipeline.provenance import Provenance
from distillation.pipeline.text import hash_messages
from models_app.models import CustomModel
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.models import Job
from modelstation.lm.embedding import load_embedder

State = ModelInput.State
EMBEDDED_AT_ONCE = 256
WRITTEN_AT_ONCE = 1_000
HEAD = "linear head on its answers"


def label(job: Job, lease: Lease, encoder: Encode = encode) -> Publish:
    model = CustomModel.objects.select_related("org", "live_version").get(id=job.subject_id)
    form = answer_form(model)
    seed(model, form)
    embed(model, lease, encoder)
    lease.stage("learn", "Learning from the answers")
    heads.fit(model)
    if not form.is_classified:
        lease.stage("prefill", "Letting the live model pre-fill answers")
        prefill(model, form, lease)
    lease.check()
    if not Labelling.objects.filter(model=model, wants_rows=True).exists():
        return lambda: None
    lease.stage("store", "Storing rows of the answers")
    return store(job, model, lease)


def seed(model: CustomModel, form: AnswerForm) -> None:
    """Give the head the names of the labels and the model's examples to begin with."""
    wanted: dict[tuple[str, str], None] = {}
    if form.is_classified:
        names = [(label.replace("_", " "), label) for label in form.labels]
        examples = [(row["input"], row["output"]) for row in model.examples]
        wanted = dict.fromkeys([*names, *examples])
    with transaction.atomic():
        known = model.inputs.filter(state=State.SEED)
        for row in known:
            if (row.text, row.answer) in wanted:
                wanted.pop((row.text, row.answer))
            else:
                row.delete()
        ModelInput.objects.bulk_create(
            ModelInput(
                org=model.org, model=model, position=0, text=text, digest=digest_of(text),
                state=State.SEED, answer=answer,
            )
            for text, answer in wanted
        )  # fmt: skip


def embed(model: CustomModel, lease: Lease, encoder: Encode) -> None:
    waiting = model.inputs.filter(vector=None).order_by("position")
    total = waiting.count()
    if not total:
        return
    lease.stage("embed", "Reading the inputs")
    done = 0
    while rows := list(waiting[:EMBEDDED_AT_ONCE]):
        for row, vector in zip(rows, encoder([row.text for row in rows]), strict=True):
            row.vector = packed(vector)
        ModelInput.objects.bulk_update(rows, ["vector"], batch_size=EMBEDDED_AT_ONCE)
        done += len(rows)
        lease.progress(step=min(done, total), total_steps=total)


def store(job: Job, model: CustomModel, lease: Lease) -> Publish:
    """Put the rows into the model's own source. They are visible once the job has ended."""
    labelling = Labelling.objects.select_related("wanted_by").get(model=model)
    rows = {row.external_id: row for row in map(_new_row, answered_rows(model))}
    name = f"{model.slug}-labelled"
    run, _ = ImportRun.objects.get_or_create(
        job=job,
        defaults={
            "org": model.org, "origin": f"inputs of {model.name}, labelled here",
            "options": {"source": name}, "created_by": labelling.wanted_by,
        },
    )  # fmt: skip
    _, source = store_rows(
        run=run,
        kind=SourceDataset.Kind.LABELLED,
        name=name,
        rows=rows.values,
        origin=run.origin,
        lease=lease,
        embedder=lambda: load_embedder(),
    )
    lease.check()
    assert source is not None
    return lambda: publish(labelling, source, rows)


def _new_row(row: ModelInput) -> NewRow:
    if row.state == State.ANSWERED:
        by = row.answered_by.email.partition("@")[0] if row.answered_by else ""
        at = row.answered_at.isoformat(timespec="seconds") if row.answered_at else ""
        said = Provenance(labelled_by="person", who=by, at=at)
    else:
        said = Provenance(labelled_by="classifier", who=HEAD, confidence=round(row.chance or 0, 3))
    answer = row.answer if row.state == State.ANSWERED else row.proposal
    return NewRow(row.text, answer, said, external_id=str(row.id), line=row.position)


def publish(labelling: Labelling, source: SourceDataset, rows: dict[str, NewRow]) -> None:
    """Replace what was stored before of these inputs and is no longer so; use the source."""
    model = labelling.model
    stale, changed = [], []
    for example in CorpusExample.objects.filter(source=source).only(
        "id", "external_id", "content_hash", "provenance"
    ):
        row = rows.get(example.external_id)
        if row is None or hash_messages(row.messages) != example.content_hash:
            stale.append(example.id)
        elif example.provenance != row.provenance.to_json():
            example.provenance = row.provenance.to_json()
            changed.append(example)
    CorpusExample.objects.filter(id__in=stale).delete()
    CorpusExample.objects.bulk_update(changed, ["provenance"], batch_size=WRITTEN_AT_ONCE)
    SourceDataset.objects.filter(id=source.id).update(row_count=F("row_count") - len(stale))
    use_source(actor=labelling.wanted_by, model=model, source=source)
    answered = sum(row.provenance.labelled_by == "person" for row in rows.values())
    labelling = labelling_of(model)
    labelling.source, labelling.stored_at, labelling.wants_rows = source, timezone.now(), False
    labelling.stored_answered, labelling.stored_taken = answered, len(rows) - answered
    labelling.save()
    record(
        org=model.org, actor=labelling.wanted_by, action="labelling.stored", target=model,
        answered=answered, taken_over=len(rows) - answered, replaced=len(stale),
    )  # fmt: skip
