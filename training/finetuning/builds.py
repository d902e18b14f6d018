"""A fine-tuning job as OpenAI's clients see it: one build of a model, made of our jobs.

A build begins with a job that makes a dataset (`distil`, or `freeze` for an uploaded file) or, on
a dataset that is there, with a training; the training and the evaluation that follow belong to it.
Its id is that of its first job, so it stays the same from the first stage to the last. Builds made
in the web app are shown like those of this API. The number of queries of a page is fixed.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from accounts.models import Organization
from models_app.gateway.model_resolver import tuned_name
from models_app.models import CustomModel
from modelstation.core.models import Job, JobEvent
from training.finetuning.ids import job_name_of
from training.models import EvaluationRun, FineTuningRequest, TrainingRun
from training.progress import Figures

MAKING = ("distil", "freeze")
BEGINNING = (*MAKING, "train")
KINDS = (*BEGINNING, "evaluate")
State = Job.State
STATUS_OF_STATE = {State.FAILED: "failed", State.CANCELLED: "cancelled", State.PAUSED: "paused"}
TERMINAL = ("succeeded", "failed", "cancelled")
STAGES_OF_TRAINING = {"merge": "exporting", "export": "exporting", "checkpoints": "exporting"}
NOT_MET = "criteria_not_met"
# Outside, a build that found too few rows or did not pass is one that failed: clients know no other
# word for it. Our own status is beside it, and in webhooks.
UNMET = (
    CustomModel.Status.FAILED,
    CustomModel.Status.NEEDS_DATA,
    *CustomModel.BUILT_NOT_LET,
)


@dataclass
class Build:
    """`jobs` in the order in which they were made."""

    root: Job
    model: CustomModel
    jobs: list[Job] = field(default_factory=list)
    request: FineTuningRequest | None = None
    run: TrainingRun | None = None
    evaluation: EvaluationRun | None = None

    @property
    def last(self) -> Job:
        return self.jobs[-1]

    @property
    def live_job(self) -> Job | None:
        return next((job for job in self.jobs if job.is_live), None)

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    @property
    def status(self) -> str:
        last = self.last
        if last.kind == "evaluate" and last.state == State.FAILED and self._is_trained_as_requested:
            return "succeeded"  # that it was not measured is shown
        if last.state in STATUS_OF_STATE:
            return STATUS_OF_STATE[State(last.state)]
        if last.kind in MAKING:
            return self._status_of_dataset
        if last.kind == "train":
            return "queued" if last.state == State.QUEUED else "running"
        if last.is_live:
            return "running"
        return "succeeded" if self.is_met else "failed"

    @property
    def is_met(self) -> bool:
        """Return whether the criteria are met: a model with a requirement is held to it. A
        person's word counts: the version is ready or live then.
        """
        if self._is_trained_as_requested:
            return True
        if self.evaluation is None:  # it went with its version
            return self.model.status not in UNMET
        version = self.run.version if self.run else None
        is_let = version and (version.state != "draft" or version.id == self.model.live_version_id)
        return self.evaluation.verdict == EvaluationRun.Verdict.PASS or bool(is_let)

    @property
    def stage(self) -> str:
        last = self.last
        if not last.is_live:
            return self.status if self.is_over else "review"
        if last.state == State.PAUSED:
            return "paused"
        if last.kind == "evaluate":
            return "evaluating"
        if last.kind == "train":
            is_waiting = last.state == State.QUEUED
            return "waiting" if is_waiting else STAGES_OF_TRAINING.get(last.stage, "training")
        return "freezing" if last.kind == "freeze" else last.stage or "waiting"

    @property
    def failure(self) -> tuple[str, str, str | None] | None:
        """Code, message and parameter of a build that failed."""
        if self.status != "failed":
            return None
        if self.last.state == State.FAILED:
            param = "training_file" if self.last.kind == "freeze" else None
            return self.last.error_code or "failed", self.last.error_text, param
        reason = self.model.status_reason or "The written criteria were not met."
        return NOT_MET, reason, None

    @property
    def finished_at(self) -> Any:
        return self.last.finished_at if self.is_over else None

    @property
    def tuned_name(self) -> str | None:
        """Of the model that came of it; None until it succeeded, and when it was deleted since."""
        version = self.run.version if self.run else None
        return tuned_name(version) if version and self.status == "succeeded" else None

    @property
    def _is_trained_as_requested(self) -> bool:
        """The model's pages, its mail and webhooks go by the same; see TrainingRun."""
        if self.run is None:  # it went with its dataset
            return self.root.kind == "freeze" and not self.model.success_criteria
        return self.run.is_trained_as_requested

    @property
    def _status_of_dataset(self) -> str:
        """Selected, and waiting for a person's review; or left at that."""
        waits = self.last.is_live or self.model.status == CustomModel.Status.REVIEW
        return "validating_files" if waits else "cancelled"


def builds_of(org: Organization) -> QuerySet[Job]:
    """Return the first job of every build, newest first."""
    before = Job.objects.filter(
        subject_id=OuterRef("subject_id"), kind__in=BEGINNING, created_at__lt=OuterRef("created_at")
    ).order_by("-created_at")
    jobs: QuerySet[Job] = Job.objects.for_org(org).filter(kind__in=BEGINNING)
    jobs = jobs.annotate(
        kind_before=Coalesce(Subquery(before.values("kind")[:1]), Value("")),
        state_before=Coalesce(Subquery(before.values("state")[:1]), Value("")),
    )
    continues = Q(kind="train", kind_before__in=MAKING, state_before=State.SUCCEEDED)
    return jobs.exclude(continues).order_by("-created_at", "-id")


def builds(roots: Iterable[Job]) -> list[Build]:
    roots = list(roots)
    subjects = {root.subject_id for root in roots}
    models = CustomModel.objects.select_related("org", "base").in_bulk(subjects)
    wanted = {
        root.id: Build(root, models[root.subject_id])
        for root in roots
        if root.subject_id in models  # one that was deleted meanwhile is no build any more
    }
    jobs = Job.objects.filter(subject_id__in=subjects, kind__in=KINDS).order_by("created_at", "id")
    for root_id, grouped in _grouped(jobs).items():
        if root_id in wanted:
            wanted[root_id].jobs = grouped
    result = [build for build in wanted.values() if build.jobs]
    _add_rows(result)
    return result


def ended_build(job: Job) -> tuple[str, str] | None:
    """Return the id and status of the build that this job ended; None where it ended none."""
    jobs = Job.objects.filter(subject_id=job.subject_id, kind__in=KINDS)
    for root_id, grouped in _grouped(jobs.order_by("created_at", "id")).items():
        if grouped[-1].id == job.id:
            (build,) = builds([Job.objects.get(id=root_id)])
            return (job_name_of(root_id), build.status) if build.is_over else None
    return None


def _grouped(jobs: Iterable[Job]) -> dict[uuid.UUID, list[Job]]:
    """Group the jobs of each build, by the id of its first one; the same rule as in `builds_of`."""
    groups: dict[uuid.UUID, list[Job]] = {}
    newest: dict[uuid.UUID, uuid.UUID] = {}  # the build that a subject's jobs belong to
    begun: dict[uuid.UUID, Job] = {}  # its last job of those that may begin one
    for job in jobs:
        before = begun.get(job.subject_id)
        goes_on = before and before.kind in MAKING and before.state == State.SUCCEEDED
        if job.kind in MAKING or (job.kind == "train" and not goes_on):
            newest[job.subject_id] = job.id
        if job.kind in BEGINNING:
            begun[job.subject_id] = job
        if job.subject_id in newest:
            group = groups.setdefault(newest[job.subject_id], [])
            if job.kind != "evaluate" or _is_awaited(group[-1]):
                group.append(job)
    return groups


def _is_awaited(last: Job) -> bool:
    """Say whether an evaluation belongs to a build; one requested later changes no measured one."""
    return last.kind == "train" or (last.kind == "evaluate" and last.state == State.FAILED)


def _add_rows(result: list[Build]) -> None:
    ids = [job.id for build in result for job in build.jobs]
    runs = TrainingRun.objects.filter(job__in=ids)
    related = ["version__model", "version__org", "version__base", "results", "model"]
    related += ["dataset_version__run__job"]
    run_of = {run.job_id: run for run in runs.select_related(*related)}
    evaluations = EvaluationRun.objects.filter(job__in=ids).prefetch_related("scores")
    evaluation_of = {evaluation.job_id: evaluation for evaluation in evaluations}
    models = [build.model.id for build in result]
    of_models = FineTuningRequest.objects.filter(model__in=models)
    requests: dict[uuid.UUID, FineTuningRequest] = {each.model_id: each for each in of_models}
    for build in result:
        for job in build.jobs:
            build.run = run_of.get(job.id) or build.run
            build.evaluation = evaluation_of.get(job.id) or build.evaluation
        if build.root.kind == "freeze":
            build.request = requests.get(build.model.id)


def events_of(build: Build) -> QuerySet[JobEvent]:
    """Return those of all its jobs, newest first."""
    events = JobEvent.objects.filter(job__in=[job.id for job in build.jobs])
    return events.defer("operator_detail").order_by("-id")


# --- checkpoints ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training at a step, under a name by which it is served."""

    step: int
    name: str
    at: Any
    metrics: Figures


def checkpoints_of(build: Build) -> list[Checkpoint]:
    """Return those that were kept, newest step first; none before the training has ended."""
    run = build.run
    if run is None or run.version is None:
        return []
    tuned, figures = tuned_name(run.version), measured(run)
    kept = {step for step in map(step_of, run.version.artifacts) if step is not None}
    best = run.facts.get("best_step")
    steps = kept | ({int(best)} if best else set())
    at = run.version.created_at
    return [
        Checkpoint(step, f"{tuned}:ckpt-step-{step}", at, _metrics(step, figures.get(step, {})))
        for step in sorted(steps, reverse=True)
    ]


def step_of(artifact: str) -> int | None:
    digits = artifact.removeprefix("ckpt-step-")
    return int(digits) if digits != artifact and digits.isdigit() else None


def measured(run: TrainingRun) -> dict[int, Figures]:
    """Return the figures of each step; of one taken again after a resume, the last ones."""
    figures: dict[int, Figures] = defaultdict(dict)
    metrics = JobEvent.objects.filter(job=run.job_id, kind=JobEvent.Kind.METRICS).order_by("seq")
    for data in metrics.values_list("data", flat=True):
        figures[int(data["step"])] |= data
    return figures


def _metrics(step: int, data: Figures) -> Figures:
    """Name them as OpenAI does. The whole validation file is read: its loss is the full one."""
    loss, accuracy = data.get("valid_loss"), data.get("valid_accuracy")
    return {
        "step": step,
        "train_loss": data.get("loss"),
        "train_mean_token_accuracy": data.get("train_accuracy"),
        "valid_loss": loss,
        "valid_mean_token_accuracy": accuracy,
        "full_valid_loss": loss,
        "full_valid_mean_token_accuracy": accuracy,
    }
