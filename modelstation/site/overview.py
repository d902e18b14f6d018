"""What the roof's pages show, read from every app in a fixed number of queries."""

import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from distillation.label_map import LabelTable, label_table
from distillation.models import DatasetVersion, ImportRun, SourceDataset
from distillation.pipeline.understand.explain import Line, explain
from models_app.contract.services import Contract, contract_of
from models_app.forms import CurationForm, SystemPromptForm
from models_app.models import CustomModel, ModelVersion, Promotion, UsageRecord
from models_app.understanding import understood
from models_app.versions.lines import VersionLine, version_lines
from models_app.versions.promotions import version_before
from modelstation.core.charts import interval_bars
from modelstation.core.jobs.failures import Failure, failure_of
from modelstation.core.jobs.progress import JobProgress
from modelstation.core.models import Job, JobEvent
from training.evaluations.reports import SUBJECTS, intervals_of
from training.models import EvaluationRun, TrainingRun

STAGES = {"distil": "Distil", "train": "Train", "evaluate": "Evaluate"}
EVENTS_SHOWN = 200
EVENTS_WHILE_LIVE = 8
LATEST_MODELS = 6
USAGE_DAYS = 30
WORKED_ON = (
    "base_fetch", "version_export__version__model", "export_push__export__version__model",
    "dataset_push__dataset__model",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One step of the journey, as the page shows it."""

    label: str
    job: Job | None = None
    doing: str = ""  # the newest stage that the job reported
    url: str = ""  # the page of its run

    @property
    def state(self) -> str:
        return self.job.state if self.job else "waiting"

    @property
    def progress(self) -> JobProgress:
        return self.job.figures if self.job else JobProgress()


@dataclass(frozen=True)
class Overview:
    model: CustomModel
    stages: list[Stage]
    events: list[JobEvent]  # newest first
    dataset: DatasetVersion | None  # the frozen one that was trained on last
    draft: DatasetVersion | None  # the newest that waits for a review
    evaluation: EvaluationRun | None
    versions: list[ModelVersion]
    history: list[Promotion]  # newest first
    prompt_form: SystemPromptForm = field(compare=False)
    curation_form: CurationForm = field(compare=False)

    @property
    def understood(self) -> list[Line]:
        """Read by the page alone: the fragment that is polled has no need of it."""
        return explain(understood(self.model))

    @property
    def contract(self) -> Contract:
        return contract_of(self.model)

    @property
    def version_lines(self) -> list[VersionLine]:
        return version_lines(self.model, self.versions, self.history)

    @property
    def previous(self) -> ModelVersion | None:
        """What a rollback would make live again."""
        return version_before(self.history, self.model.live_version_id)

    @property
    def label_table(self) -> LabelTable | None:
        """Of the newest dataset, with what was decided since."""
        if self.dataset is None:
            return None
        run, rules = self.dataset.run, self.model.intent_edits.get("label_map", [])
        return label_table(run.label_map, run.intent_facts.labels, rules)

    @property
    def queues(self) -> set[str]:
        """Where the model's unfinished work waits or runs."""
        return {stage.job.queue for stage in self.stages if stage.job and stage.job.is_live}

    @property
    def failure(self) -> Failure | None:
        """Why the build's last job failed; None for a model that only missed a criterion."""
        failed = [failure_of(stage.job) for stage in self.stages if stage.job]
        return next(filter(None, reversed(failed)), None)

    @property
    def latest_events(self) -> list[JobEvent]:
        return self.events[:EVENTS_WHILE_LIVE]

    @property
    def sources(self) -> list[tuple[str, int]]:
        """Rows per source of the dataset, most first."""
        counts = self.dataset.source_counts if self.dataset else {}
        return sorted(counts.items(), key=lambda item: -item[1])

    @property
    def fingerprint(self) -> str:
        """Changes when anything but the stages' progress has changed."""
        newest = (self.dataset, self.draft, self.evaluation, *self.versions[:1])
        return f"{self.model.status}.{'.'.join(str(row.id) if row else '' for row in newest)}"

    @property
    def score_bars(self) -> str:
        """Base beside tuned, as far as measured."""
        scores = self.evaluation.scores.all() if self.evaluation else ()
        rows = intervals_of(scores, SUBJECTS)
        return interval_bars(rows, title="Scores on the held-out rows") if rows else ""


def overview_of(model: CustomModel) -> Overview:
    build = _newest_build(model)
    logged = JobEvent.objects.filter(job__in=build.values()).exclude(kind=JobEvent.Kind.METRICS)
    events = list(logged.select_related("job").order_by("-id")[:EVENTS_SHOWN])
    measured = model.evaluation_runs.exclude(verdict="").select_related("version")
    return Overview(
        model=model,
        stages=_stages(model, build, events),
        events=events,
        dataset=model.dataset_versions.frozen().first(),
        draft=model.dataset_versions.drafts().first(),
        evaluation=measured.prefetch_related("scores").first(),
        versions=list(model.versions.select_related("base", "training_run")),
        history=list(model.promotions.select_related("version", "actor")),
        prompt_form=SystemPromptForm(initial={"system_prompt": model.system_prompt}),
        curation_form=CurationForm(initial={"curation": model.curation}),
    )


def _newest_build(model: CustomModel) -> dict[str, Job]:
    """Return the newest distillation, and the newest job of each kind that came after it."""
    build: dict[str, Job] = {}
    kinds = [*STAGES, "freeze"]  # which makes the dataset of an uploaded file
    jobs = Job.objects.filter(subject_id=model.id, kind__in=kinds).order_by("-created_at")
    for job in jobs:
        build.setdefault("distil" if job.kind == "freeze" else job.kind, job)
        if job.kind in ("distil", "freeze"):
            break
    return build


def _stages(model: CustomModel, build: dict[str, Job], events: list[JobEvent]) -> list[Stage]:
    urls = _run_urls(model, build)
    doing: dict[uuid.UUID, str] = {}
    for event in events:  # newest first: the first one of a job stays
        if event.kind == JobEvent.Kind.STAGE:
            doing.setdefault(event.job_id, event.message)
    jobs = [(kind, label, build.get(kind)) for kind, label in STAGES.items()]
    return [
        Stage(label, job, doing.get(job.id, "") if job else "", urls.get(kind, ""))
        for kind, label, job in jobs
    ]


def _run_urls(model: CustomModel, build: dict[str, Job]) -> dict[str, str]:
    """Return the page of what each job of this build made, once it has made it."""
    distil, train, evaluate = (build.get(kind) for kind in STAGES)
    rows = {
        ("distil", "dataset"): DatasetVersion.objects.filter(run__job=distil).first(),
        ("train", "run"): TrainingRun.objects.filter(job=train).first(),
        ("evaluate", "evaluation"): EvaluationRun.objects.filter(job=evaluate).first(),
    }
    org = model.org.slug
    return {kind: reverse(page, args=[org, row.id]) for (kind, page), row in rows.items() if row}


@dataclass(frozen=True)
class Work:
    """A live job with the name and the page of what it works on."""

    job: Job
    name: str
    url: str
    stage: str = ""  # the newest that it reported

    @property
    def doing(self) -> str:
        waits = "waiting for a free worker" if self.job.state == Job.State.QUEUED else ""
        return waits or self.stage or self.job.kind


@dataclass(frozen=True)
class Dashboard:
    latest: list[CustomModel]
    work: list[Work]
    counts: dict[str, int]
    usage_days: int = USAGE_DAYS


def dashboard_of(org: Organization) -> Dashboard:
    models = CustomModel.objects.for_org(org)
    since = timezone.now() - timedelta(days=USAGE_DAYS)
    counts = {
        "models": models.count(),
        "ready": models.filter(status=CustomModel.Status.READY).count(),
        "building": models.filter(status__in=CustomModel.LIVE_STATUSES).count(),
        "sources": SourceDataset.objects.visible_to(org).ready().count(),
        "requests": UsageRecord.objects.filter(org=org, created_at__gt=since).count(),
    }
    latest = models.select_related("base", "live_version")[:LATEST_MODELS]
    return Dashboard(list(latest), _live_work(org), counts)


def _live_work(org: Organization) -> list[Work]:
    live = Job.objects.for_org(org).filter(state__in=Job.LIVE_STATES)
    jobs = list(live.select_related(*WORKED_ON).order_by("created_at"))
    written = JobEvent.objects.filter(job__in=jobs, kind=JobEvent.Kind.STAGE)
    newest = written.order_by("job_id", "-seq").distinct("job_id")
    stages = dict(newest.values_list("job_id", "message"))
    subjects = [job.subject_id for job in jobs]
    models = CustomModel.objects.for_org(org).in_bulk(subjects)
    imports = ImportRun.objects.filter(org=org).in_bulk(subjects)
    works = []
    for job in jobs:
        subject = models.get(job.subject_id) or imports.get(job.subject_id)
        name, page, *of = _name_and_page(job, subject)
        url = reverse(page, args=[org.slug, *of])
        works.append(Work(job, name, url, stages.get(job.id, "")))
    return works


def _name_and_page(
    job: Job, subject: CustomModel | ImportRun | None
) -> tuple[str, str, *tuple[uuid.UUID, ...]]:
    """Return the name of what a job works on, and the name and ids of its page."""
    match subject:
        case CustomModel():
            return subject.name, "model", subject.id
        case ImportRun():
            return f"Import of {subject.origin}", "import", subject.id
    if job.kind == "fetch":
        fetch = getattr(job, "base_fetch", None)  # none yet, when it was queued again
        return f"Fetch of {fetch.base_id if fetch else 'a base'}", "bases"
    if export := getattr(job, "version_export", None):
        return f"Export of {export.version}", "version_export", export.version_id
    if push := getattr(job, "export_push", None):
        name = f"Push of {push.export.version} to {push.repo_id}"
        return name, "version_export", push.export.version_id
    if push := getattr(job, "dataset_push", None):
        return f"Push of {push.dataset} to {push.repo_id}", "dataset_pushes", push.dataset_id
    return "Import of a source", "sources"
