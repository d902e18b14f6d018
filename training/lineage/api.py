"""/api/v1/models/{id}/lineage and /api/v1/versions/{id}/lineage."""

import uuid
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org
from distillation.datasets.lineage_api import (
    CheckSerializer,
    DatasetLineageSerializer,
    RequirementFactsSerializer,
)
from models_app.access import model_for, version_for
from models_app.models import ModelVersion
from training.lineage.services import ModelLineage, lineage_of_model, lineage_of_version
from training.models import EvaluationRun, TrainingRun
from training.runs.serializers import ScoreSerializer

DEEP = OpenApiParameter(
    "deep", OpenApiTypes.BOOL, description="Hash the model's own, large files again too."
)


class TrainingFactsSerializer(serializers.ModelSerializer[TrainingRun]):
    asked_config = serializers.DictField()
    resolved_config = serializers.DictField()
    facts = serializers.DictField()

    class Meta:
        model = TrainingRun
        fields = ["id", "dataset_version", "asked_config", "resolved_config", "facts", "created_at"]


class EvaluationFactsSerializer(serializers.ModelSerializer[EvaluationRun]):
    criteria = serializers.ListField(child=serializers.DictField())
    scores = ScoreSerializer(many=True)

    class Meta:
        model = EvaluationRun
        fields = ["id", "metric", "test_count", "test_origin", "verdict", "criteria", "scores"]


class BaseFactsSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    hub_id = serializers.CharField()
    revision = serializers.CharField()
    license = serializers.CharField()


class VersionFactsSerializer(serializers.ModelSerializer[ModelVersion]):
    """`artifacts` holds the manifest of each: its files with their sizes and sha256."""

    base = BaseFactsSerializer()
    artifacts = serializers.DictField(child=serializers.DictField())

    class Meta:
        model = ModelVersion
        fields = [
            "id", "number", "state", "base", "system_prompt", "dataset_digest", "artifacts",
            "created_at",
        ]  # fmt: skip


class ModelLineageSerializer(serializers.Serializer[ModelLineage]):
    """`checks` are those of the version; those of its dataset stand with the dataset."""

    verdict = serializers.CharField()
    requirement = RequirementFactsSerializer(source="model")
    dataset = DatasetLineageSerializer(allow_null=True)
    training = TrainingFactsSerializer(allow_null=True)
    evaluation = EvaluationFactsSerializer(allow_null=True)
    version = VersionFactsSerializer(allow_null=True)
    checks = CheckSerializer(many=True)


class ModelLineageView(APIView):
    @extend_schema(parameters=[DEEP], responses=ModelLineageSerializer)
    def get(self, request: Request, model_id: uuid.UUID) -> Response:
        """Of the version that is served, else of the newest."""
        model = model_for(request_org(request), model_id)
        lineage = lineage_of_model(model, deep=_is_deep(request))
        return Response(ModelLineageSerializer(lineage).data)


class VersionLineageView(APIView):
    @extend_schema(parameters=[DEEP], responses=ModelLineageSerializer)
    def get(self, request: Request, version_id: uuid.UUID) -> Response:
        version = version_for(request_org(request), version_id)
        lineage = lineage_of_version(version.model, version, deep=_is_deep(request))
        return Response(ModelLineageSerializer(lineage).data)


def _is_deep(request: Request) -> bool:
    return request.query_params.get("deep") == "true"
