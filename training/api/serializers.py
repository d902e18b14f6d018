"""Shapes of training runs with their curves, and of evaluations with their scores."""

from typing import Any

from rest_framework import serializers

from models_app.api.serializers import JobSerializer
from training.models import EvaluationRun, EvaluationScore, MetricPoint, TrainingRun


class RunSummarySerializer(serializers.ModelSerializer[TrainingRun]):
    job = JobSerializer()

    class Meta:
        model = TrainingRun
        fields = ["id", "model", "dataset_version", "version", "job", "created_at"]


class PointSerializer(serializers.ModelSerializer[MetricPoint]):
    class Meta:
        model = MetricPoint
        fields = ["step", "loss", "valid_loss", "learning_rate", "tokens_per_second"]


class RunSerializer(serializers.ModelSerializer[TrainingRun]):
    """One run; `points` are its curve, from `after_step` on."""

    job = JobSerializer()
    asked_config = serializers.DictField()
    resolved_config = serializers.DictField()
    facts = serializers.DictField()
    points = PointSerializer(many=True, source="points_shown")

    class Meta:
        model = TrainingRun
        fields = [
            "id", "model", "dataset_version", "version", "job", "asked_config", "resolved_config",
            "facts", "points", "created_at",
        ]  # fmt: skip


class EvaluationSummarySerializer(serializers.ModelSerializer[EvaluationRun]):
    class Meta:
        model = EvaluationRun
        fields = [
            "id",
            "model",
            "version",
            "metric",
            "test_count",
            "test_origin",
            "verdict",
            "created_at",
        ]


class ScoreSerializer(serializers.ModelSerializer[EvaluationScore]):
    class Meta:
        model = EvaluationScore
        fields = ["subject", "metric", "score", "low", "high"]


class EvaluationSerializer(serializers.ModelSerializer[EvaluationRun]):
    job = JobSerializer()
    criteria = serializers.ListField(child=serializers.DictField())
    scores = ScoreSerializer(many=True)

    class Meta:
        model = EvaluationRun
        fields = [
            "id", "model", "version", "metric", "test_count", "test_origin", "verdict", "criteria",
            "scores", "job", "created_at",
        ]  # fmt: skip


class EvaluationRowsSerializer(serializers.Serializer[dict[str, Any]]):
    """Rows as the report keeps them, worst first; `next_after` is null on the last page."""

    results = serializers.ListField(child=serializers.DictField())
    next_after = serializers.IntegerField(allow_null=True)
