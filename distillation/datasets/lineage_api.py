"""/api/v1/datasets/{id}/lineage: where a dataset comes from, hashed again."""

import uuid

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org
from distillation.access import dataset_for
from distillation.datasets.lineage import Check, DatasetLineage, SourceLine, lineage_of, row_lines
from distillation.models import DatasetVersion, DistillationRun
from models_app.models import CustomModel


class CheckSerializer(serializers.Serializer[Check]):
    name = serializers.CharField()
    verdict = serializers.CharField(help_text="verified, differs or unknown")
    detail = serializers.CharField()
    problems = serializers.ListField(child=serializers.CharField())


class SourceLineSerializer(serializers.Serializer[SourceLine]):
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    license = serializers.CharField()
    rows = serializers.IntegerField()
    origin = serializers.CharField()
    revision = serializers.CharField()
    is_deleted = serializers.BooleanField()


class RequirementFactsSerializer(serializers.ModelSerializer[CustomModel]):
    """What was required, as the model has it now."""

    example_count = serializers.SerializerMethodField()

    class Meta:
        model = CustomModel
        fields = ["id", "name", "requirement", "objective", "policy", "example_count", "rows"]

    def get_example_count(self, model: CustomModel) -> int:
        return len(model.examples)


class DistillationFactsSerializer(serializers.ModelSerializer[DistillationRun]):
    config = serializers.DictField()
    intent = serializers.DictField()
    label_map = serializers.ListField(child=serializers.DictField())
    funnel = serializers.ListField(child=serializers.DictField())

    class Meta:
        model = DistillationRun
        fields = ["id", "config", "intent", "label_map", "funnel", "created_at"]


class DatasetFactsSerializer(serializers.ModelSerializer[DatasetVersion]):
    split_counts = serializers.DictField(child=serializers.IntegerField())

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "number", "state", "digest", "row_count", "split_counts", "system_prompt",
            "parent", "frozen_at",
        ]  # fmt: skip


class DatasetLineageSerializer(serializers.Serializer[DatasetLineage]):
    """`rows` is the address of the rows, a JSON line each."""

    verdict = serializers.CharField()
    checks = CheckSerializer(many=True)
    requirement = RequirementFactsSerializer(source="dataset.model")
    distillation = DistillationFactsSerializer(source="dataset.run")
    dataset = DatasetFactsSerializer()
    sources = SourceLineSerializer(many=True)
    rows = serializers.SerializerMethodField()

    def get_rows(self, lineage: DatasetLineage) -> str:
        return reverse("api_dataset_lineage_rows", args=[lineage.dataset.pk])


class DatasetLineageView(APIView):
    @extend_schema(responses=DatasetLineageSerializer)
    def get(self, request: Request, dataset_id: uuid.UUID) -> Response:
        """Every row and file is hashed again and compared with what was frozen."""
        lineage = lineage_of(dataset_for(request_org(request), dataset_id))
        return Response(DatasetLineageSerializer(lineage).data)


class DatasetLineageRowsView(APIView):
    @extend_schema(responses={(200, "application/jsonl"): OpenApiTypes.BINARY})
    def get(self, request: Request, dataset_id: uuid.UUID) -> HttpResponseBase:
        """Each row's source, licence, hashes, scores, query and step, a JSON line each."""
        dataset = dataset_for(request_org(request), dataset_id)
        return StreamingHttpResponse(row_lines(dataset), content_type="application/jsonl")
