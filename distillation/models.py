"""DATA: sources and their rows, imports, distillation runs, and the frozen datasets that come of
them.
"""

from django.db import models
from django.db.models import Q
from pgvector.django import HalfVectorField

from accounts.models import Organization
from models_app.models import CustomModel
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgOwned, new_id

EMBEDDING_DIMENSIONS = 384


class SourceDatasetQuerySet(models.QuerySet["SourceDataset"]):
    def visible_to(self, org: Organization) -> "SourceDatasetQuerySet":
        """Public sources, and the organisation's own."""
        return self.filter(Q(org=None) | Q(org=org))

    def ready(self) -> "SourceDatasetQuerySet":
        return self.filter(state=SourceDataset.State.READY)


class SourceDataset(models.Model):
    class State(models.TextChoices):
        LOADING = "loading"
        READY = "ready"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    name = models.SlugField(max_length=80)
    license = models.CharField(max_length=80)
    origin = models.CharField(max_length=300, blank=True)  # hub id, file name or generator
    revision = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.LOADING)
    row_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SourceDatasetQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["org", "name"], name="one_source_name_per_org", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return self.name


class CorpusExample(models.Model):
    """One row of a source, as chat messages. `content_hash` is of its normalised messages (see
    importing).
    """

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(SourceDataset, on_delete=models.CASCADE, related_name="examples")
    content_hash = models.CharField(max_length=64)
    external_id = models.CharField(max_length=200, blank=True)
    task = models.CharField(max_length=200, blank=True)
    license = models.CharField(max_length=80)
    messages = models.JSONField()
    tokens = models.PositiveIntegerField()
    embedding = HalfVectorField(dimensions=EMBEDDING_DIMENSIONS)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "content_hash"], name="one_content_per_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source_id}/{self.external_id or self.content_hash[:12]}"


class ImportRun(models.Model):
    """One file into one or more sources: where it stands, so that it can go on, and what it
    refused.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    job = models.OneToOneField(
        Job, on_delete=models.SET_NULL, null=True, blank=True, related_name="import_run"
    )
    origin = models.CharField(max_length=300)
    file_sha256 = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    rows_read = models.PositiveIntegerField(default=0)
    rows_added = models.PositiveIntegerField(default=0)
    rows_duplicate = models.PositiveIntegerField(default=0)
    rows_rejected = models.PositiveIntegerField(default=0)
    errors = models.JSONField(
        default=list
    )  # the first hundred: {"line", "field", "code", "message", "hint"}
    error_text = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.origin} ({self.state})"


class DistillationRun(OrgOwned):
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="distillation_run")
    model = models.ForeignKey(
        CustomModel, on_delete=models.CASCADE, related_name="distillation_runs"
    )
    config = models.JSONField(default=dict)
    intent = models.JSONField(default=dict)  # what was understood of the requirement
    funnel = models.JSONField(
        default=list
    )  # [{"filter", "refused", "examples"}], from corpus to dataset

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"distillation of {self.model}"


class DatasetVersion(OrgOwned):
    """Frozen: never edited once written. Its digest is a hash over the canonical content of its
    rows.
    """

    model = models.ForeignKey(
        CustomModel, on_delete=models.CASCADE, related_name="dataset_versions"
    )
    run = models.OneToOneField(
        DistillationRun, on_delete=models.CASCADE, related_name="dataset_version"
    )
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    system_prompt = models.TextField()
    row_count = models.PositiveIntegerField()
    split_counts = models.JSONField(default=dict)  # {"train", "valid", "test"}
    source_counts = models.JSONField(default=dict)  # {source name: rows}
    license_counts = models.JSONField(default=dict)
    folder = models.CharField(
        max_length=300
    )  # train/valid/test.jsonl, dataset.parquet, under settings.ARTIFACTS_DIR

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="one_dataset_number_per_model")
        ]

    def __str__(self) -> str:
        return f"{self.model} dataset {self.number}"


class DatasetRow(models.Model):
    class Split(models.TextChoices):
        TRAIN = "train"
        VALID = "valid"
        TEST = "test"

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    split = models.CharField(max_length=5, choices=Split.choices)
    messages = models.JSONField()  # the model's one form: system prompt, input, answer
    source_name = models.CharField(max_length=80)
    task = models.CharField(max_length=200, blank=True)
    license = models.CharField(max_length=80)
    content_hash = models.CharField(max_length=64)
    score = models.FloatField()
    reason = models.CharField(max_length=300)
    query = models.CharField(max_length=300, blank=True)
    # The corpus row it was made from; a source may be deleted later, the dataset stays.
    example = models.ForeignKey(
        CorpusExample, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="one_row_per_position")
        ]

    def __str__(self) -> str:
        return f"row {self.position} of {self.version_id}"

    @property
    def input(self) -> str:
        return "\n".join(
            message["content"] for message in self.messages if message["role"] == "user"
        )

    @property
    def answer(self) -> str:
        return str(self.messages[-1]["content"])
