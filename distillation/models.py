"""DATA: sources and their rows, imports, distillation runs, and the datasets that come of them."""

from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Q
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from pgvector.django import HalfVectorField

from accounts.models import Organization, User
from distillation.corrections.rows import CandidateRow as CandidateRow
from distillation.hub.rows import HubImport as HubImport
from distillation.hub.rows import HubSearch as HubSearch
from distillation.label_map import LabelTable, label_table
from distillation.labelling.rows import Labelling as Labelling
from distillation.labelling.rows import ModelInput as ModelInput
from distillation.limits import NAME_CHARS, ORIGIN_CHARS, REASON_CHARS, TASK_CHARS
from distillation.logs.rows import LogUse as LogUse
from distillation.model_data.rows import ModelSource as ModelSource
from distillation.pipeline.intent_facts import IntentFacts
from distillation.pipeline.provenance import Provenance
from distillation.pushes.rows import HubPush
from distillation.teachers.rows import Teacher as Teacher
from distillation.teachers.rows import TeacherRequest as TeacherRequest
from distillation.teachers.rows import TeacherRun as TeacherRun
from models_app.models import CustomModel
from modelstation.core.models import Job
from modelstation.core.tenancy import OrgOwned, OrgQuerySet, new_id

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

    class Kind(models.TextChoices):
        """The way its rows came."""

        CORPUS = "corpus"
        UPLOAD = "upload", "own labelled rows"
        LABELLED = "labelled", "own inputs, labelled here"
        LOGS = "logs"
        HUB = "hub", "the hub"
        TEACHER = "teacher"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.CORPUS)
    name = models.SlugField(max_length=NAME_CHARS)
    license = models.CharField(max_length=NAME_CHARS)
    origin = models.CharField(max_length=ORIGIN_CHARS, blank=True)  # hub id, file name or generator
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
    """One row of a source, as chat messages; `content_hash` is of them in normal form."""

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(SourceDataset, on_delete=models.CASCADE, related_name="examples")
    content_hash = models.CharField(max_length=64)
    external_id = models.CharField(max_length=TASK_CHARS, blank=True)
    task = models.CharField(max_length=TASK_CHARS, blank=True)
    license = models.CharField(max_length=NAME_CHARS)
    messages = models.JSONField()
    tokens = models.PositiveIntegerField()
    language = models.CharField(max_length=8, blank=True)  # ISO 639-1; empty: is not clear
    flags = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    # The import that brought it, so that a cancelled one can take its rows back.
    import_run = models.ForeignKey(
        "ImportRun", on_delete=models.SET_NULL, null=True, blank=True, related_name="examples"
    )
    embedding = HalfVectorField(dimensions=EMBEDDING_DIMENSIONS)
    # sha256 of the text that `embedding` stands for, so that the same text is embedded once. Rows
    # from before this column have none, and are not looked up.
    text_hash = models.BinaryField(max_length=32, null=True)
    search = SearchVectorField(null=True)  # of its input, for lexical retrieval
    # What its source cannot say for all rows: who or what labelled it, how surely, at what cost.
    provenance = models.JSONField(default=dict, blank=True)  # pipeline.provenance.Provenance

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "content_hash"], name="one_content_per_source"
            )
        ]
        indexes = [
            GinIndex(fields=["search"], name="corpus_search", fastupdate=False),
            models.Index(fields=["text_hash"], name="corpus_text_hash"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id}/{self.external_id or self.content_hash[:12]}"


class ImportRun(models.Model):
    """One file into one or more sources: where it stands, so that it can go on, and what it
    refused.

    An upload begins as `uploaded`: its preview is shown, and nothing is stored until somebody
    confirms how its columns are read.
    """

    class State(models.TextChoices):
        UPLOADED = "uploaded"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    job = models.OneToOneField(
        Job, on_delete=models.SET_NULL, null=True, blank=True, related_name="import_run"
    )
    origin = models.CharField(max_length=ORIGIN_CHARS)
    file_sha256 = models.CharField(max_length=64, blank=True)
    upload = models.CharField(max_length=300, blank=True)  # under settings.UPLOADS_DIR
    upload_bytes = models.PositiveBigIntegerField(default=0)
    options = models.JSONField(default=dict, blank=True)  # how it is read: ReadOptions
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    rows_total = models.PositiveIntegerField(default=0)  # counted by the first look; 0: not yet
    rows_read = models.PositiveIntegerField(default=0)
    rows_added = models.PositiveIntegerField(default=0)
    rows_duplicate = models.PositiveIntegerField(default=0)
    rows_rejected = models.PositiveIntegerField(default=0)
    rows_flagged = models.PositiveIntegerField(default=0)
    flags = models.JSONField(default=dict, blank=True)  # {flag: rows}
    # The first hundred: {"line", "field", "code", "message", "hint"}.
    errors = models.JSONField(default=list)
    error_text = models.TextField(blank=True)
    # Which model uses the rows once they are loaded; without a job its next build loads them.
    model = models.ForeignKey(
        CustomModel, on_delete=models.SET_NULL, null=True, blank=True, related_name="imports"
    )
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
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
    # How the labels of the sources become the user's: [{"source", "label", "rows", "mapped_to",
    # "how", "similarity"}]; `mapped_to` is empty where nothing fits.
    label_map = models.JSONField(default=list)
    # From corpus to dataset: [{"filter", "refused", "examples"}].
    funnel = models.JSONField(default=list)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"distillation of {self.model}"

    @property
    def intent_facts(self) -> IntentFacts:
        return IntentFacts.from_json(self.intent)

    @property
    def label_table(self) -> LabelTable:
        """As it was in this run."""
        return label_table(self.label_map, self.intent_facts.labels)


class DatasetVersionQuerySet(OrgQuerySet):
    def frozen(self) -> Self:
        """Order by when they were frozen, the last one first: that is what training takes."""
        frozen = self.filter(state=DatasetVersion.State.FROZEN)
        return frozen.order_by(F("frozen_at").desc(nulls_last=True), "-number")

    def drafts(self) -> Self:
        return self.filter(state=DatasetVersion.State.DRAFT)


class DatasetVersion(OrgOwned):
    """A draft is curated by people; once frozen it is never edited. The digest of a frozen one is
    a hash over the canonical content of its rows. To change a frozen one, a draft is made of it.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        FROZEN = "frozen"

    model = models.ForeignKey(
        CustomModel, on_delete=models.CASCADE, related_name="dataset_versions"
    )
    run = models.ForeignKey(
        DistillationRun, on_delete=models.CASCADE, related_name="dataset_versions"
    )
    parent = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.FROZEN)
    frozen_at = models.DateTimeField(null=True, blank=True)
    frozen_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64, blank=True)  # empty while a draft
    system_prompt = models.TextField()
    row_count = models.PositiveIntegerField()
    split_counts = models.JSONField(default=dict)  # {"train", "valid", "test"}
    source_counts = models.JSONField(default=dict)  # {source name: rows}
    license_counts = models.JSONField(default=dict)
    # train/valid/test.jsonl, dataset.parquet, README.md, under settings.ARTIFACTS_DIR; empty while
    # a draft.
    folder = models.CharField(max_length=300, blank=True)

    objects: ClassVar[Any] = DatasetVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="one_dataset_number_per_model")
        ]

    def __str__(self) -> str:
        return f"{self.model} dataset {self.number}"

    @property
    def is_draft(self) -> bool:
        return self.state == self.State.DRAFT


class DatasetRowQuerySet(models.QuerySet["DatasetRow"]):
    def kept(self) -> "DatasetRowQuerySet":
        return self.filter(decision=DatasetRow.Decision.KEPT)

    def spoken(self) -> Any:
        """With `said_answer` and `said_input` for the database to filter, sort and count by."""
        return self.annotate(
            said_answer=KeyTextTransform("content", KeyTransform("-1", "messages")),
            said_input=KeyTextTransform("content", KeyTransform("-2", "messages")),
        )


class DatasetRow(models.Model):
    class Split(models.TextChoices):
        TRAIN = "train"
        VALID = "valid"
        TEST = "test"

    class Decision(models.TextChoices):
        KEPT = "kept"
        REFUSED = "refused"

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    split = models.CharField(max_length=5, choices=Split.choices)
    messages = models.JSONField()  # the model's one form: system prompt, input, answer
    # What people did with it while the version was a draft. A refused row is in no file and no
    # digest, but stays to be seen.
    decision = models.CharField(max_length=8, choices=Decision.choices, default=Decision.KEPT)
    decided_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    original_messages = models.JSONField(null=True, blank=True)  # as selected, when it was edited
    source = models.ForeignKey(
        SourceDataset, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    source_name = models.CharField(max_length=NAME_CHARS)
    task = models.CharField(max_length=TASK_CHARS, blank=True)
    license = models.CharField(max_length=NAME_CHARS)
    content_hash = models.CharField(max_length=64)  # of `messages`
    corpus_hash = models.CharField(max_length=64, blank=True)  # of the corpus row it was made from
    twin_group = models.CharField(max_length=64, blank=True)  # twins never straddle splits
    score = models.FloatField()
    scores = models.JSONField(default=dict)  # what `score` is made of
    reason = models.CharField(max_length=REASON_CHARS)
    query = models.CharField(max_length=REASON_CHARS, blank=True)
    step = models.CharField(max_length=40, blank=True)  # that last touched it
    provenance = models.JSONField(default=dict, blank=True)  # of its corpus row, copied
    # The corpus row it was made from; a source may be deleted later, the dataset stays.
    example = models.ForeignKey(
        CorpusExample, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    # Or the correction, where a person wrote it.
    candidate = models.ForeignKey(
        CandidateRow, on_delete=models.SET_NULL, null=True, blank=True, related_name="dataset_rows"
    )

    objects = DatasetRowQuerySet.as_manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="one_row_per_position")
        ]

    def __str__(self) -> str:
        return f"row {self.position} of {self.version_id}"

    @property
    def input(self) -> str:
        return "\n".join(turn["content"] for turn in self.messages if turn["role"] == "user")

    @property
    def answer(self) -> str:
        return str(self.messages[-1]["content"])

    @property
    def is_kept(self) -> bool:
        return self.decision == self.Decision.KEPT

    @property
    def is_edited(self) -> bool:
        return self.original_messages is not None

    @property
    def labelled_in_words(self) -> str:
        return Provenance.from_json(self.provenance).words


class DatasetPush(HubPush):
    what, job_kind, repo_type = "dataset", "push", "dataset"
    no_token_hint = "An admin or owner stores one on the settings page."

    dataset = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="pushes")
    job = models.OneToOneField(
        Job, on_delete=models.SET_NULL, null=True, related_name="dataset_push"
    )
    digest = models.CharField(max_length=64, blank=True)  # empty until it succeeded

    class Meta(HubPush.Meta):
        verbose_name_plural = "dataset pushes"

    def __str__(self) -> str:
        return f"{self.dataset_id} to {self.repo_id}"
