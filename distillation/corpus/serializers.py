"""Shapes of sources and of what is doubtful in them."""

from typing import Any

from rest_framework import serializers

from distillation.models import DatasetVersion, SourceDataset


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
