"""Training runs for tests, with their job and the curves that it left."""

import uuid

from distillation.models import DatasetVersion, DistillationRun
from modelstation.core.models import Job, JobEvent
from training.models import TrainingRun


def make_job(model, kind, state="running", **fields):
    token = uuid.uuid4() if state == "running" else None
    return Job.objects.create(
        org=model.org,
        kind=kind,
        queue="gpu",
        subject_id=model.id,
        state=state,
        lease_token=token,
        **fields,
    )


def make_run(model, state="running", **fields):
    """A run on a frozen dataset; `fields` are its job's."""
    distilled = DistillationRun.objects.create(
        org=model.org, job=make_job(model, "distil", "succeeded"), model=model
    )
    dataset = DatasetVersion.objects.create(
        org=model.org, model=model, run=distilled, number=1, row_count=10, folder="dataset"
    )
    return TrainingRun.objects.create(
        org=model.org,
        job=make_job(model, "train", state, **fields),
        model=model,
        dataset_version=dataset,
        asked_config={"seed": 7},
    )


def add_points(run, count, loss=lambda step: 4 / step):
    """Metrics as the runner writes them, in one insert."""
    known = Job.objects.get(id=run.job_id).event_count
    JobEvent.objects.bulk_create(
        JobEvent(job_id=run.job_id, seq=known + step, kind="metrics", data=point(step, loss(step)))
        for step in range(1, count + 1)
    )
    Job.objects.filter(id=run.job_id).update(event_count=known + count)


def point(step, loss):
    facts = {
        "step": step,
        "loss": loss,
        "learning_rate": 1e-3,
        "tokens_per_second": 220,
        "memory_bytes": 1_500_000_000,
    }
    return facts if step % 2 else facts | {"valid_loss": 5 / step}


def end(job, state, **fields):
    Job.objects.filter(id=job.id).update(state=state, lease_token=None, **fields)
