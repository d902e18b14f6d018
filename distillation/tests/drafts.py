"""Datasets for tests of curation: a draft of bank messages, small enough to count by hand."""

from distillation.models import DatasetRow, DatasetVersion, DistillationRun
from distillation.pipeline.text import hash_messages
from distillation.pipeline.understand.row_format import model_messages
from modelstation import testing
from modelstation.core.models import Job

PROMPT = "Name the intent."
LABELS = ("lost_card", "card_arrival", "top_up")
INTENT = {"task_kind": "classify", "labels": list(LABELS), "labels_closed": True}
# Of twelve rows: eight to train, two to validate, two to test with.
SPLITS = ("train",) * 4 + ("valid", "test")


def make_draft(org, rows=12, *, intent=INTENT, minimum=5, state="draft", model=None, **fields):
    """Row n asks “message n”, answers with label n % 3, and comes of one of two sources."""
    model = model or testing.make_model(org, status="review", curation="review", **fields)
    job = Job.objects.create(
        org=org, kind="distil", queue="distil", subject_id=model.id, state="succeeded"
    )
    config = {"rows": rows, "minimum_rows": minimum}
    run = DistillationRun.objects.create(
        org=org, job=job, model=model, intent=intent, config=config
    )
    version = DatasetVersion.objects.create(
        org=org,
        model=model,
        run=run,
        state=state,
        number=model.dataset_versions.count() + 1,
        system_prompt=PROMPT,
        row_count=rows,
    )
    DatasetRow.objects.bulk_create(make_row(version, number) for number in range(rows))
    return version


def make_row(version, number, **fields):
    messages = list(model_messages(PROMPT, f"message {number}", LABELS[number % 3]))
    wanted = {
        "position": number,
        "split": SPLITS[number % 6],
        "messages": messages,
        "source_name": "banking" if number % 2 else "clinic",
        "license": "MIT" if number % 2 else "CC-BY-4.0",
        "content_hash": hash_messages(fields.get("messages", messages)),
        "corpus_hash": f"corpus {number}",
        "twin_group": f"group {number}",
        "score": number / 100,
        "scores": {"relevance": number / 100},
        "reason": "close to the requirement",
        "query": "Label each message",
        "step": "select",
    }
    return DatasetRow(version=version, **wanted | fields)
