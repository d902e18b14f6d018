"""Shapes of sources and of what is doubtful in them."""

from typing import Any

from rest_framework import serializers

from distillation.corpus import quality
from distillation.corpus.deletion import SourceUse, UsingDataset
from distillation.models import SourceDataset
from models_app.models import ModelVersion


class SourceSerializer(serializers.ModelSerializer[SourceDataset]):
    is_public = serializers.SerializerMethodField()

    class Meta:
        model = SourceDataset
        fields = [
            "id", "name", "kind", "license", "origin", "revision", "state", "row_count",
            "is_public", "created_at",
        ]  # fmt: skip

    def get_is_public(self, source: SourceDataset) -> bool:
        return source.org_id is None


class UsingDatasetSerializer(serializers.Serializer[UsingDataset]):
    id = serializers.UUIDField(source="dataset.id")
    model = serializers.UUIDField(source="dataset.model_id")
    name = serializers.CharField(source="dataset.__str__")
    rows = serializers.IntegerField()


class UsingVersionSerializer(serializers.Serializer[ModelVersion]):
    id = serializers.UUIDField()
    model = serializers.UUIDField(source="model_id")
    name = serializers.CharField(source="__str__")


class SourceUseSerializer(serializers.Serializer[SourceUse]):
    datasets = UsingDatasetSerializer(many=True)
    versions = UsingVersionSerializer(many=True)


class SourceInUseSerializer(serializers.Serializer[Any]):
    error = serializers.DictField(child=serializers.CharField())
    used_by = SourceUseSerializer()


class FlagSerializer(serializers.Serializer[quality.FlagCount]):
    flag = serializers.CharField()
    text = serializers.CharField()
    rows = serializers.IntegerField()


class QualityRowSerializer(serializers.Serializer[quality.ShownRow]):
    id = serializers.IntegerField()
    external_id = serializers.CharField()
    input = serializers.CharField()
    answer = serializers.CharField()


class DuplicateGroupSerializer(serializers.Serializer[quality.ShownDuplicates]):
    size = serializers.IntegerField()
    representative = QualityRowSerializer()
    repeats = QualityRowSerializer(many=True)


class ConflictAnswerSerializer(serializers.Serializer[quality.ShownAnswer]):
    answer = serializers.CharField()
    rows = serializers.IntegerField()
    example = QualityRowSerializer()


class ConflictSerializer(serializers.Serializer[quality.ShownConflict]):
    input = serializers.CharField()
    answers = ConflictAnswerSerializer(many=True)


class LabelProblemSerializer(serializers.Serializer[quality.ShownLabelProblem]):
    row = QualityRowSerializer()
    reason = serializers.CharField()
    meant = serializers.CharField()


class DisagreementSerializer(serializers.Serializer[quality.ShownDisagreement]):
    row = QualityRowSerializer()
    score = serializers.FloatField()
    suggested = serializers.CharField()
    neighbour = QualityRowSerializer()


class SourceQualitySerializer(serializers.Serializer[quality.SourceQuality]):
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
