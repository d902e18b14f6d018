"""Training runs, whose curves are their jobs' events; evaluations and their scores."""

from django.db import models

from accounts.models import User
from distillation.models import DatasetVersion
from models_app.models import CustomModel, ModelVersion
from modelstation.core.models import Job, JobEvent
from modelstation.core.tenancy import OrgOwned
from training.export.rows import Export as Export
from training.export.rows import ExportPush as ExportPush


class TrainingRun(OrgOwned):
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="training_run")
    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="training_runs")
    dataset_version = models.ForeignKey(
        DatasetVersion, on_delete=models.CASCADE, related_name="training_runs"
    )
    version = models.OneToOneField(
        ModelVersion, on_delete=models.SET_NULL, null=True, blank=True, related_name="training_run"
    )
    asked_config = models.JSONField(default=dict)
    resolved_config = models.JSONField(default=dict)
    # Steps, tokens, losses, seconds, device: what the child reported at its end.
    facts = models.JSONField(default=dict)
    # What was expected when it started, and why each setting was chosen: see training.plan.
    plan = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"training of {self.model}"

    @property
    def is_trained_as_requested(self) -> bool:
        """Rows of an uploaded file and no criteria: the result of an evaluation is shown, and
        nobody is held to it.
        """
        return self.dataset_version.run.job.kind == "freeze" and not self.model.success_criteria

    @property
    def checkpoint_step(self) -> int | None:
        """Where it goes on from, should it stop now; None before its first checkpoint."""
        kept = self.job.events.filter(kind=JobEvent.Kind.CHECKPOINT).order_by("seq").last()
        return int(kept.data["step"]) if kept else None


class MachineProfile(models.Model):
    """What a training worker's machine can do, as it measured it: the fields of a Machine."""

    host = models.CharField(max_length=120, primary_key=True)
    measured_at = models.DateTimeField()
    facts = models.JSONField(default=dict)

    class Meta:
        ordering = ["-measured_at"]

    def __str__(self) -> str:
        return self.host


class EvaluationRun(OrgOwned):
    class Verdict(models.TextChoices):
        PASS = "pass"
        INCONCLUSIVE = "inconclusive"
        FAIL = "fail"

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="evaluation_run")
    model = models.ForeignKey(CustomModel, on_delete=models.CASCADE, related_name="evaluation_runs")
    version = models.ForeignKey(
        ModelVersion, on_delete=models.CASCADE, related_name="evaluation_runs"
    )
    metric = models.CharField(max_length=40)
    test_count = models.PositiveIntegerField(default=0)
    # "split": frozen test split; "user": the user's rows
    test_origin = models.CharField(max_length=20, default="split")
    verdict = models.CharField(max_length=20, choices=Verdict.choices, blank=True)
    criteria = models.JSONField(default=list)  # [{"sentence", "passed", …}]
    contract_digest = models.CharField(max_length=64, blank=True)  # of what it judged by
    is_again = models.BooleanField(default=False)  # requested by a person, not part of a build
    # The version that was live, measured on the same rows: {} where there was none.
    live = models.JSONField(default=dict, blank=True)
    # With report.json and rows.jsonl, under settings.ARTIFACTS_DIR.
    folder = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"evaluation of {self.version}"


class EvaluationScore(models.Model):
    class Subject(models.TextChoices):
        BASE = "base"
        TUNED = "tuned"
        BASELINE = "baseline"

    run = models.ForeignKey(EvaluationRun, on_delete=models.CASCADE, related_name="scores")
    subject = models.CharField(max_length=10, choices=Subject.choices)
    metric = models.CharField(max_length=40)
    score = models.FloatField()
    low = models.FloatField(null=True)  # 95 % bootstrap interval
    high = models.FloatField(null=True)

    class Meta:
        ordering = ["run", "subject"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "subject", "metric"], name="one_score_per_subject"
            )
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.metric} {self.score:.3f}"


class UploadedFile(OrgOwned):
    """A file of /v1/files: rows to train on, or the curves of a run. Known outside as `file-<hex>`.

    Rows are looked at when the file arrives; one that has a bad row is kept, with what is wrong
    with it, and no job takes it.
    """

    class Purpose(models.TextChoices):
        FINE_TUNE = "fine-tune"
        RESULTS = "fine-tune-results"

    class Status(models.TextChoices):
        PROCESSED = "processed"
        ERROR = "error"

    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    filename = models.CharField(max_length=300)
    path = models.CharField(max_length=300)  # under settings.UPLOADS_DIR
    bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    status = models.CharField(max_length=10, choices=Status.choices)
    status_details = models.TextField(blank=True)
    row_count = models.PositiveIntegerField(default=0)
    task_kind = models.CharField(max_length=20, blank=True)  # as its answers say
    problem_count = models.PositiveIntegerField(default=0)
    # The first hundred: {"line", "field", "code", "message", "hint"}; all are in problems.jsonl.
    problems = models.JSONField(default=list)
    notes = models.JSONField(default=list)  # what was changed or left unread, in sentences
    run = models.OneToOneField(
        TrainingRun, on_delete=models.SET_NULL, null=True, blank=True, related_name="results"
    )
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["org", "-created_at", "-id"], name="newest_file_of_org")]

    def __str__(self) -> str:
        return self.filename


class FineTuningRequest(OrgOwned):
    """What was requested through /v1/fine_tuning/jobs, beside the job that began the build.

    Files are named by their id alone: they may be deleted, and the request still says which.
    """

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="fine_tuning_request")
    model = models.ForeignKey(
        CustomModel, on_delete=models.CASCADE, related_name="fine_tuning_requests"
    )
    training_file = models.UUIDField()
    validation_file = models.UUIDField(null=True, blank=True)
    suffix = models.CharField(max_length=64, blank=True)
    seed = models.PositiveBigIntegerField()
    # Each "auto" or a number: n_epochs, batch_size, learning_rate_multiplier.
    hyperparameters = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"fine-tuning of {self.model}"
