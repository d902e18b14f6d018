"""Follow a model from its requirement to its verdict in a terminal."""

import time
import uuid
from collections.abc import Callable

from models_app.models import CustomModel
from modelstation.core.models import Job, JobEvent

POLL_SECONDS = 1.0
LINE_SECONDS = 5.0
Say = Callable[[str], None]


def follow(model_id: uuid.UUID, say: Say) -> CustomModel:
    """Print the model's story line by line until its work has ended. Returns the model as it then
    is.
    """
    seen = 0
    last_line = 0.0
    while True:
        model: CustomModel = CustomModel.objects.get(id=model_id)
        for event in JobEvent.objects.filter(job__subject_id=model_id, id__gt=seen).order_by("id"):
            seen = event.id
            say(event.message)
        if not model.is_live_work:
            return model
        if time.monotonic() - last_line > LINE_SECONDS:
            last_line = time.monotonic()
            for job in Job.objects.filter(subject_id=model_id, state=Job.State.RUNNING):
                if job.progress.get("step"):
                    say(progress_line(job))
        time.sleep(POLL_SECONDS)


def progress_line(job: Job) -> str:
    steps = f"{job.stage} {job.progress.get('step', 0)}/{job.progress.get('total_steps', 0)}"
    return ", ".join(filter(None, [steps, detail_of(job)]))


def detail_of(job: Job) -> str:
    """Loss, speed and time left of a running job, as far as it tells them."""
    progress = job.progress
    parts = []
    if progress.get("loss") is not None:
        parts.append(f"loss {progress['loss']:.3f}")
    if progress.get("tokens_per_second"):
        parts.append(f"{progress['tokens_per_second']:.0f} tokens/s")
    if progress.get("eta_seconds") is not None:
        parts.append(f"about {_duration(progress['eta_seconds'])} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def outcome_line(model: CustomModel) -> str:
    version = model.versions.first()
    if version is None or not version.scores:
        return f"{model.name} is {model.status}. {model.status_reason}".strip()
    scores = version.scores
    return (
        f"{model.name} is {model.status}: {scores['metric']} {scores['tuned']['score']:.3f} tuned, "
        f"{scores['base']['score']:.3f} base, on {scores['n_test']} held-out rows. "
        f"{model.status_reason}"
    ).strip()
