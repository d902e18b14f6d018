"""Shapes of training runs with their curves, and of evaluations with their scores."""

from typing import Any

from rest_framework import serializers

from models_app.api.serializers import JobSerializer
from training.models import EvaluationRun, EvaluationScore, TrainingRun
from training.runs.curves import Point


class RunSummarySerializer(serializers.ModelSerializer[TrainingRun]):
    job = JobSerializer()

    class Meta:
        model = TrainingRun
        fields = ["id", "model", "dataset_version", "version", "job", "created_at"]


class PointSerializer(serializers.Serializer[Point]):
    step = serializers.IntegerField()
    loss = serializers.FloatField(allow_null=True)
    valid_loss = serializers.FloatField(allow_null=True)
    learning_rate = serializers.FloatField(allow_null=True)
    tokens_per_second = serializers.FloatField(allow_null=True)
    memory_bytes = serializers.FloatField(allow_null=True)


class RunSerializer(serializers.ModelSerializer[TrainingRun]):
    """One run; `points` are its curves, from `after_step` on: thinned to 500 for a long run, whose
    every point is in its events. `checkpoint_step` is where it would go on from.
    """

    job = JobSerializer()
    asked_config = serializers.DictField()
    resolved_config = serializers.DictField()
    facts = serializers.DictField()
    checkpoint_step = serializers.IntegerField(allow_null=True)
    points = PointSerializer(many=True, source="points_shown")

    class Meta:
        model = TrainingRun
        fields = [
            "id", "model", "dataset_version", "version", "job", "asked_config", "resolved_config",
            "facts", "checkpoint_step", "points", "created_at",
        ]  # fmt: skip


class EvaluationSummarySerializer(serializers.ModelSerializer[EvaluationRun]):
    class Meta:
        model = EvaluationRun
        fields = [
            "id", "model", "version", "metric", "test_count", "test_origin", "verdict",
            "contract_digest", "is_again", "created_at",
        ]  # fmt: skip


class ScoreSerializer(serializers.ModelSerializer[EvaluationScore]):
    class Meta:
        model = EvaluationScore
        fields = ["subject", "metric", "score", "low", "high"]


class EvaluationSerializer(serializers.ModelSerializer[EvaluationRun]):
    """One evaluation. Each of `criteria` has `metric`, `op`, `value`, its plain `words`, the
    intervals (`score`, `low`, `high`) of `tuned` and `base`, the trivial `baseline`, and its
    `outcome`: pass, inconclusive or fail. `live` is how the version that was live did on the same
    rows, with the interval of the difference.
    """

    job = JobSerializer()
    criteria = serializers.ListField(child=serializers.DictField())
    scores = ScoreSerializer(many=True)
    live = serializers.DictField()

    class Meta:
        model = EvaluationRun
        fields = [
            "id", "model", "version", "metric", "test_count", "test_origin", "verdict", "criteria",
            "scores", "live", "contract_digest", "is_again", "job", "created_at",
        ]  # fmt: skip


class EvaluationRowsSerializer(serializers.Serializer[dict[str, Any]]):
    """Rows as the report keeps them, worst first; `next_after` is null on the last page."""

    results = serializers.ListField(child=serializers.DictField())
    next_after = serializers.IntegerField(allow_null=True)
