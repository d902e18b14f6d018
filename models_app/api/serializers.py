"""Shapes of models and versions. What a draft may hold is decided in models_app.drafts."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.reverse import reverse

from models_app.models import CustomModel, ModelVersion
from models_app.versions.promotions import objection_to
from modelstation.core.jobs.failures import failure_of
from modelstation.core.models import Job, JobEvent
from modelstation.core.web.api import Choice, StrictSerializer

WAITING, PAUSED = "waiting", "paused"
INTENT_EDITS_HELP = (
    "What a person puts right in what was understood: `task_kind`, `labels` (all of them), "
    "`label_descriptions` (an object by label), `json_schema` (draft 2020-12), "
    "`answer_min_chars`, `answer_max_chars`, `language` (ISO 639-1, empty for any), "
    "`label_map` (a list of `source`, `label`, `mapped_to`; an empty `mapped_to` leaves such "
    "rows out). A field that is null or not there is as understood."
)


class PairSerializer(StrictSerializer):
    input = serializers.CharField(trim_whitespace=False)
    output = serializers.CharField(trim_whitespace=False)


class ModelDraftSerializer(StrictSerializer):
    """A model to make. `name` and `requirement` are needed; the rest is chosen automatically."""

    name = serializers.CharField(max_length=80)
    requirement = serializers.CharField()
    objective = serializers.CharField(required=False, allow_blank=True)
    policy = serializers.CharField(required=False, allow_blank=True)
    examples = PairSerializer(many=True, required=False)
    test_rows = PairSerializer(many=True, required=False)
    success_criteria = serializers.ListField(
        child=serializers.CharField(max_length=300), required=False
    )
    metric = serializers.CharField(required=False, allow_blank=True)
    system_prompt = serializers.CharField(required=False, allow_blank=True)
    base = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="Empty: the recommended one of those that are installed.",
    )
    rows = serializers.IntegerField(required=False)
    max_size_mb = serializers.IntegerField(
        required=False, min_value=1, allow_null=True, help_text="Of the served model."
    )
    student = Choice(
        CustomModel.Student.choices, required=False, help_text="auto: an encoder for labels."
    )
    training_config = serializers.DictField(required=False)
    curation = Choice(CustomModel.Curation.choices, required=False)
    intent_edits = serializers.DictField(required=False, help_text=INTENT_EDITS_HELP)
    search_corpus = serializers.BooleanField(
        required=False, help_text="False: rows come from sources chosen for the model alone."
    )
    doubtful_rows = Choice(
        CustomModel.DoubtfulRows.choices,
        required=False,
        help_text="What is done with rows whose label is likely wrong.",
    )


class ChangesSerializer(StrictSerializer):
    """What is left out stays as it is; something must be given."""

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if not given:
            raise serializers.ValidationError(f"Give {' or '.join(self.fields)}.")
        return given


class ModelChangesSerializer(ChangesSerializer):
    """What may change once a model is made; what is left out stays. Name, requirement, objective,
    policy and examples change until the model has a version.
    """

    system_prompt = serializers.CharField(required=False, max_length=20_000)
    curation = Choice(CustomModel.Curation.choices, required=False)
    student = Choice(CustomModel.Student.choices, required=False)
    intent_edits = serializers.DictField(required=False, help_text=INTENT_EDITS_HELP)
    # Until a version exists:
    name = serializers.CharField(required=False, max_length=80)
    requirement = serializers.CharField(required=False)
    objective = serializers.CharField(required=False, allow_blank=True)
    policy = serializers.CharField(required=False, allow_blank=True)
    examples = PairSerializer(many=True, required=False)


class VersionSummarySerializer(serializers.ModelSerializer[ModelVersion]):
    class Meta:
        model = ModelVersion
        fields = ["id", "number", "state"]


class ModelSummarySerializer(serializers.ModelSerializer[CustomModel]):
    """One line of the list: nothing heavy."""

    live_version = VersionSummarySerializer(read_only=True, allow_null=True)

    class Meta:
        model = CustomModel
        fields = [
            "id", "name", "slug", "status", "status_reason", "base", "live_version", "created_at",
            "updated_at",
        ]  # fmt: skip


class ProgressSerializer(serializers.Serializer[dict[str, Any]]):
    step = serializers.IntegerField(allow_null=True)
    total_steps = serializers.IntegerField(allow_null=True)
    loss = serializers.FloatField(allow_null=True)
    learning_rate = serializers.FloatField(allow_null=True)
    tokens_per_second = serializers.FloatField(allow_null=True)
    tokens = serializers.IntegerField(allow_null=True)
    eta_seconds = serializers.FloatField(allow_null=True)
    memory_bytes = serializers.IntegerField(allow_null=True)


class JobSerializer(serializers.ModelSerializer[Job]):
    """A job; of one that failed, `error_text` says why and `error_advice` what to try."""

    stage = serializers.SerializerMethodField()
    progress = ProgressSerializer()
    error_advice = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            "id", "kind", "state", "stage", "progress", "attempt", "error_code", "error_text",
            "error_advice", "pause_requested_at", "cancel_requested_at", "created_at",
            "started_at", "finished_at",
        ]  # fmt: skip

    def get_error_advice(self, job: Job) -> str:
        failure = failure_of(job)
        return failure.advice if failure else ""

    def get_stage(self, job: Job) -> str:
        return stage_of(job)


class WaitingDraftSerializer(serializers.Serializer[dict[str, Any]]):
    """A dataset that nothing is trained on until somebody freezes it."""

    id = serializers.UUIDField()
    number = serializers.IntegerField()
    url = serializers.URLField()


class ModelSerializer(serializers.ModelSerializer[CustomModel]):
    """One model. `job` is the newest one; `scores` are the live version's, else the newest's."""

    examples = PairSerializer(many=True)
    success_criteria = serializers.ListField(child=serializers.CharField())
    test_row_count = serializers.SerializerMethodField()
    live_version = VersionSummarySerializer(allow_null=True)
    job = JobSerializer(allow_null=True)
    stage = serializers.SerializerMethodField()
    progress = ProgressSerializer(source="job.progress", allow_null=True)
    scores = serializers.DictField()
    waiting_for_review = serializers.SerializerMethodField()
    intent_edits = serializers.DictField(help_text=INTENT_EDITS_HELP)
    links = serializers.SerializerMethodField()

    class Meta:
        model = CustomModel
        fields = [
            "id", "name", "slug", "status", "status_reason", "stage", "progress", "scores",
            "live_version", "job", "requirement", "objective", "policy", "examples",
            "test_row_count", "success_criteria", "metric", "contract_digest",
            "contract_frozen_at", "system_prompt", "base", "rows", "student",
            "training_config", "intent_edits", "curation", "search_corpus", "doubtful_rows",
            "waiting_for_review",
            "created_at", "updated_at", "links",
        ]  # fmt: skip

    @extend_schema_field(WaitingDraftSerializer(allow_null=True))
    def get_waiting_for_review(self, model: CustomModel) -> dict[str, Any] | None:
        draft = model.dataset_versions.drafts().only("id", "number").first()
        if draft is None:
            return None
        url = reverse("api_dataset", args=[draft.id], request=self.context["request"])
        return {"id": draft.id, "number": draft.number, "url": url}

    def get_stage(self, model: CustomModel) -> str:
        return stage_of(model.job) if model.job else ""  # type: ignore[attr-defined]

    def get_test_row_count(self, model: CustomModel) -> int:
        return len(model.test_rows)

    def get_links(self, model: CustomModel) -> dict[str, str]:
        request = self.context["request"]
        links = {"self": reverse("api_model", args=[model.id], request=request)}
        for name in ("events", "versions", "contract", "data"):
            links[name] = reverse(f"api_model_{name}", args=[model.id], request=request)
        for name in ("datasets", "runs", "evaluations"):
            links[name] = f"{reverse(f'api_{name}', request=request)}?model={model.id}"
        return links


def shown_model(model: CustomModel, request: Request) -> dict[str, Any]:
    model.job = Job.objects.filter(subject_id=model.id).first()  # type: ignore[attr-defined]
    version = model.live_version or model.versions.first()
    model.scores = version.scores if version else {}  # type: ignore[attr-defined]
    return dict(ModelSerializer(model, context={"request": request}).data)


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """`objection` says why it may not go live without a person's word; empty: it may."""

    is_live = serializers.SerializerMethodField()
    scores = serializers.DictField()
    objection = serializers.SerializerMethodField()

    class Meta:
        model = ModelVersion
        fields = [
            "id", "model", "number", "state", "is_live", "base", "system_prompt", "dataset_digest",
            "config", "scores", "contract_digest", "objection", "artifacts", "created_at",
        ]  # fmt: skip

    def get_objection(self, version: ModelVersion) -> str:
        live_id = version.model.live_version_id
        return "" if version.id == live_id else objection_to(version, live_id)

    def get_is_live(self, version: ModelVersion) -> bool:
        return bool(version.model.live_version_id == version.id)


class EventSerializer(serializers.ModelSerializer[JobEvent]):
    """One line of a job's story: `seq` counts from 1 without gaps within the job; `data` of metrics
    holds step, total_steps, loss, valid_loss, learning_rate, tokens_per_second and so on.
    """

    job_kind = serializers.CharField(source="job.kind")
    data = serializers.DictField()  # type: ignore[assignment]

    class Meta:
        model = JobEvent
        fields = ["id", "job", "job_kind", "seq", "at", "kind", "message", "data"]


def stage_of(job: Job) -> str:
    """Say what the job is doing: its stage, or that it waits for a worker, or is paused."""
    if job.state == Job.State.PAUSED:
        return PAUSED
    return WAITING if job.state == Job.State.QUEUED else job.stage
