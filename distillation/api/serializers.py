"""Shapes of sources, datasets and their rows."""

from typing import Any

from rest_framework import serializers

from distillation.models import DatasetRow, DatasetVersion, SourceDataset


class SourceSerializer(serializers.ModelSerializer[SourceDataset]):
    is_public = serializers.SerializerMethodField()

    class Meta:
        model = SourceDataset
        fields = [
            "id",
            "name",
            "license",
            "origin",
            "revision",
            "state",
            "row_count",
            "is_public",
            "created_at",
        ]

    def get_is_public(self, source: SourceDataset) -> bool:
        return source.org_id is None


class UsingDatasetSerializer(serializers.Serializer[Any]):
    """A dataset that holds rows of a source."""

    id = serializers.UUIDField()
    model = serializers.UUIDField()
    name = serializers.CharField()
    rows = serializers.IntegerField()

    def to_representation(self, instance: tuple[DatasetVersion, int]) -> dict[str, Any]:
        dataset, rows = instance
        facts = {"id": dataset.id, "model": dataset.model_id, "name": str(dataset), "rows": rows}
        return super().to_representation(facts)


class UsingVersionSerializer(serializers.Serializer[Any]):
    """A model version that was trained on such a dataset."""

    id = serializers.UUIDField()
    model = serializers.UUIDField(source="model_id")
    name = serializers.CharField(source="__str__")


class SourceUseSerializer(serializers.Serializer[Any]):
    datasets = UsingDatasetSerializer(many=True)
    versions = UsingVersionSerializer(many=True)


class SourceInUseSerializer(serializers.Serializer[Any]):
    error = serializers.DictField(child=serializers.CharField())
    used_by = SourceUseSerializer()


class FlagSerializer(serializers.Serializer[dict[str, Any]]):
    flag = serializers.CharField()
    text = serializers.CharField()
    rows = serializers.IntegerField()


class QualityRowSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    external_id = serializers.CharField()
    input = serializers.CharField()
    answer = serializers.CharField()


class DuplicateGroupSerializer(serializers.Serializer[dict[str, Any]]):
    size = serializers.IntegerField()
    representative = QualityRowSerializer()
    repeats = QualityRowSerializer(many=True)


class ConflictAnswerSerializer(serializers.Serializer[dict[str, Any]]):
    answer = serializers.CharField()
    rows = serializers.IntegerField()
    example = QualityRowSerializer()


class ConflictSerializer(serializers.Serializer[dict[str, Any]]):
    input = serializers.CharField()
    answers = ConflictAnswerSerializer(many=True)


class LabelProblemSerializer(serializers.Serializer[dict[str, Any]]):
    row = QualityRowSerializer()
    reason = serializers.CharField()
    meant = serializers.CharField()


class DisagreementSerializer(serializers.Serializer[dict[str, Any]]):
    row = QualityRowSerializer()
    score = serializers.FloatField()
    suggested = serializers.CharField()
    neighbour = QualityRowSerializer()


class SourceQualitySerializer(serializers.Serializer[dict[str, Any]]):
    """The first fifty of each finding, and how many there are."""

    rows = serializers.IntegerField()
    sampled = serializers.IntegerField()
    flags = FlagSerializer(many=True)
    labels = serializers.IntegerField(help_text="0 where the answers are no labels.")
    counts = serializers.DictField(child=serializers.IntegerField())
    duplicates = DuplicateGroupSerializer(many=True)
    conflicts = ConflictSerializer(many=True)
    label_problems = LabelProblemSerializer(many=True)
    disagreements = DisagreementSerializer(many=True)


class DatasetSummarySerializer(serializers.ModelSerializer[DatasetVersion]):
    class Meta:
        model = DatasetVersion
        fields = ["id", "model", "number", "digest", "row_count", "split_counts", "created_at"]


class DatasetSerializer(serializers.ModelSerializer[DatasetVersion]):
    """A frozen dataset: what came in, from where, under which licences, and what was refused."""

    split_counts = serializers.DictField(child=serializers.IntegerField())
    source_counts = serializers.DictField(child=serializers.IntegerField())
    license_counts = serializers.DictField(child=serializers.IntegerField())
    intent = serializers.DictField(source="run.intent")
    funnel = serializers.ListField(child=serializers.DictField(), source="run.funnel")

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "model", "number", "digest", "system_prompt", "row_count", "split_counts",
            "source_counts", "license_counts", "intent", "funnel", "created_at",
        ]  # fmt: skip


class MessageSerializer(serializers.Serializer[dict[str, str]]):
    role = serializers.CharField()
    content = serializers.CharField()


class DatasetRowSerializer(serializers.ModelSerializer[DatasetRow]):
    messages = MessageSerializer(many=True)

    class Meta:
        model = DatasetRow
        fields = [
            "position", "split", "messages", "source_name", "task", "license", "content_hash",
            "score", "reason", "query",
        ]  # fmt: skip
