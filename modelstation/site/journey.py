"""Follow a run, or a model from its requirement to its verdict, as a terminal shows it."""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from models_app.models import CustomModel
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.events import Story
from modelstation.core.jobs.failures import failure_of
from modelstation.core.models import Job, JobEvent
from modelstation.core.templatetags.ui import duration
from training.models import EvaluationRun, TrainingRun

POLL_SECONDS = 1.0
SUCCEEDED, FAILED, CANCELLED = 0, 1, 2  # exit codes
EXIT_OF_STATE = {Job.State.FAILED: FAILED, Job.State.CANCELLED: CANCELLED}
EXIT_OF_STATUS = {
    CustomModel.Status.FAILED: FAILED,
    CustomModel.Status.NEEDS_DATA: FAILED,
    CustomModel.Status.NOT_PASSED: FAILED,
    CustomModel.Status.UNDECIDED: FAILED,
    CustomModel.Status.CANCELLED: CANCELLED,
}


@dataclass(frozen=True)
class Beat:
    """What is new since the last beat, and the job that is at work, else the newest."""

    events: list[JobEvent]
    job: Job | None
    is_over: bool


def find_story(name: str) -> Story:
    """Of a run, an evaluation, a job or a model by its id; of a model by organisation/slug."""
    try:
        story = _story_of_id(uuid.UUID(name))
    except ValueError:
        org, _, slug = name.partition("/")
        model = CustomModel.objects.filter(org__slug=org, slug=slug).first()
        story = story_of(model) if model else None
    if story is None:
        message = f"There is no run, job or model “{name}”."
        hint = "Give an id, as the page's address has it, or organisation/model."
        raise UserFacingError(message, code="not_found", hint=hint)
    return story


def story_of(model: CustomModel) -> Story:
    return Story(subject_id=model.id)


def _story_of_id(some_id: uuid.UUID) -> Story | None:
    for rows in (TrainingRun.objects, EvaluationRun.objects):
        if run := rows.filter(id=some_id).first():
            return Story(job_id=run.job_id)
    if Job.objects.filter(id=some_id).exists():
        return Story(job_id=some_id)
    model = CustomModel.objects.filter(id=some_id).first()
    return story_of(model) if model else None


def follow(story: Story, closed: threading.Event | None = None) -> Iterator[Beat]:
    """Yield a beat a second until the work has ended and all is shown, or until `closed`."""
    closed = closed or threading.Event()
    after = begin_of(story)
    while True:
        beat = beat_of(story, after)
        after = story.place_of(beat.events[-1]) if beat.events else after
        yield beat
        if not beat.events and (beat.is_over or closed.is_set()):
            return
        if not beat.events:
            closed.wait(POLL_SECONDS)


def beat_of(story: Story, after: int) -> Beat:
    is_over = story.is_over()  # read first: what is emitted with the end is then among the events
    return Beat(events=story.after(after), job=job_at_work(story), is_over=is_over)


def job_at_work(story: Story) -> Job | None:
    newest = story.jobs.order_by("-created_at")
    return newest.filter(state=Job.State.RUNNING).first() or newest.first()


def begin_of(story: Story) -> int:
    """Return the place before the first event, of a model before that of its last build."""
    distilled = story.jobs.filter(kind="distil").order_by("-created_at").first()
    first = distilled.events.order_by("seq").first() if distilled and story.subject_id else None
    return story.place_of(first) - 1 if first else 0


def exit_code_of(story: Story) -> int:
    """Judge a model by its verdict, a job by its end. What goes on has not failed."""
    model = CustomModel.objects.filter(id=story.subject_id).first() if story.subject_id else None
    if model is not None:
        return EXIT_OF_STATUS.get(CustomModel.Status(model.status), SUCCEEDED)
    return EXIT_OF_STATE.get(Job.State(story.newest_state()), SUCCEEDED)


def progress_line(job: Job) -> str:
    steps = f"{job.stage} {job.figures.step}/{job.figures.total_steps}"
    return f"{steps}, {detail_of(job)}".removesuffix(", ")


def detail_of(job: Job) -> str:
    """Return loss, speed, memory and time left of a running job, as far as it reports them."""
    its = job.figures
    parts = (
        "" if its.loss is None else f"loss {its.loss:.3f}",
        "" if its.learning_rate is None else f"lr {its.learning_rate:.2g}",
        f"{its.tokens_per_second:,.0f} tokens/s" if its.tokens_per_second else "",
        f"{its.memory_bytes / 1e9:.2f} GB" if its.memory_bytes else "",
        "" if its.eta_seconds is None else f"about {duration(its.eta_seconds)} left",
    )
    return ", ".join(filter(None, parts))


def end_line(job: Job) -> str:
    """How a job stands, and of one that failed what to try."""
    if failure := failure_of(job):
        advice = f" What to try: {failure.advice}" if failure.advice else ""
        return f"{job.kind}: failed ({failure.code}). {failure.sentence}{advice}"
    took = f" after {duration(job.seconds)}" if job.finished_at else ""
    return f"{job.kind}: {job.state}{took}"


def outcome_line(model: CustomModel) -> str:
    version, status = model.versions.first(), model.get_status_display().lower()
    if version is None or not version.scores:
        return f"{model.name} is {status}. {model.status_reason}".strip()
    scores = version.scores
    return (
        f"{model.name} is {status}: {scores['metric']} {scores['tuned']['score']:.3f} tuned, "
        f"{scores['base']['score']:.3f} base, on {scores['n_test']} held-out rows. "
        f"{model.status_reason}"
    ).strip()
