"""/api/v1/datasets: lists, rows and files."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from distillation.access import dataset_for
from distillation.curation import services as curation
from distillation.curation.row_filter import row_filter, sorted_rows
from distillation.datasets import downloads, serializers
from distillation.datasets.cards import card_text
from distillation.models import DatasetRow, DatasetVersion
from modelstation.core.web.api import NewestFirstPagination, id_of

FORMATS = ("jsonl", "parquet", "card")
MODEL = OpenApiParameter("model", OpenApiTypes.UUID, description="Only those of this model.")
SPLIT = OpenApiParameter(
    "split", OpenApiTypes.STR, enum=DatasetRow.Split.values, description="Only this split."
)
FORMAT = OpenApiParameter("format", OpenApiTypes.STR, enum=FORMATS)


@extend_schema(parameters=[MODEL])
class DatasetsView(generics.ListAPIView[DatasetVersion]):
    serializer_class = serializers.DatasetSummarySerializer

    def get_queryset(self) -> QuerySet[DatasetVersion]:
        org, model_id = request_org(self.request), id_of(self.request, "model")
        datasets: QuerySet[DatasetVersion] = DatasetVersion.objects.for_org(org)
        datasets = datasets.filter(model_id=model_id) if model_id else datasets
        return datasets.defer("system_prompt", "source_counts", "license_counts")


class DatasetView(APIView):
    @extend_schema(responses=serializers.DatasetSerializer)
    def get(self, request: Request, dataset_id: uuid.UUID) -> Response:
        dataset = dataset_for(request_org(request), dataset_id)
        return Response(serializers.DatasetSerializer(dataset).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, dataset_id: uuid.UUID) -> Response:
        """Discard a draft. A frozen dataset goes with its model only."""
        dataset = dataset_for(request_org(request), dataset_id)
        curation.discard_draft(actor=request_user(request), version=dataset)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RowsPagination(NewestFirstPagination):
    ordering = "position"
    offset_cutoff = 2**31  # a whole dataset may share one source or one answer

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        return tuple(queryset.query.order_by)


@extend_schema(parameters=[serializers.RowQuerySerializer])
class DatasetRowsView(generics.ListAPIView[DatasetRow]):
    """The rows with their source, licence, score and the reason why each was chosen."""

    serializer_class = serializers.DatasetRowSerializer
    pagination_class = RowsPagination

    def get_queryset(self) -> QuerySet[DatasetRow]:
        dataset = dataset_for(request_org(self.request), self.kwargs["dataset_id"])
        params, known = self.request.query_params, serializers.RowQuerySerializer().fields.keys()
        given = {name: params[name] for name in params if name in known}
        serializer = serializers.RowQuerySerializer(data=given)
        serializer.is_valid(raise_exception=True)
        rows = row_filter(serializer.validated_data).applied(dataset.rows.all())
        return sorted_rows(rows, serializer.validated_data.get("sort", ""))


class DatasetExportView(APIView):
    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # `format` here is a file's, not DRF's.
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        parameters=[FORMAT, SPLIT],
        responses={
            (200, "application/jsonl"): OpenApiTypes.BINARY,
            (200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY,
            (200, "text/markdown"): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request, dataset_id: uuid.UUID) -> HttpResponseBase:
        """Send the frozen files: `jsonl` in OpenAI's chat form, `parquet` with a split column, or
        the `card` with sources, licences and funnel. Of a draft, the rows that are kept so far, as
        `jsonl` only.
        """
        dataset = dataset_for(request_org(request), dataset_id)
        match request.query_params.get("format", "jsonl"):
            case "jsonl":
                split, splits = request.query_params.get("split", ""), DatasetRow.Split.values
                if split and split not in splits:
                    raise exceptions.ValidationError({"split": f"One of {', '.join(splits)}."})
                return downloads.jsonl(dataset, split)
            case "parquet":
                return downloads.parquet(dataset)
            case "card":
                return HttpResponse(card_text(dataset), content_type="text/markdown")
        raise exceptions.ValidationError({"format": f"One of {', '.join(FORMATS)}."})
