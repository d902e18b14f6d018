"""/api/v1/datasets/…: what people do to a draft, and two versions side by side."""

import uuid
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from distillation.access import dataset_for, row_for, sibling_for
from distillation.curation import serializers
from distillation.curation import services as curation
from distillation.curation.distributions import distributions_of
from distillation.datasets.comparing import KINDS, ComparedVersion, Comparison, counts_of, pairs_of
from distillation.datasets.serializers import DatasetRowSerializer, DatasetSerializer
from modelstation.core.web.api import number_of, page_size_of

MOST_PAIRS = 200
KIND = OpenApiParameter("kind", OpenApiTypes.STR, enum=KINDS)
OFFSET = OpenApiParameter("offset", OpenApiTypes.INT, description="Rows to skip.")
LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description=f"At most {MOST_PAIRS}.")


class RowsDecideView(APIView):
    @extend_schema(request=serializers.DecideSerializer, responses=serializers.ChangedSerializer)
    def post(self, request: Request, dataset_id: uuid.UUID) -> Response:
        """Keep rows of a draft or leave them out, by their ids or by a filter."""
        dataset = dataset_for(request_org(request), dataset_id)
        serializer = serializers.DecideSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        changed = curation.decide_rows(
            actor=request_user(request),
            version=dataset,
            chosen=serializer.chosen,
            decision=serializer.validated_data["decision"],
        )
        return _changed(request, dataset_id, changed)


class RowsAnswerView(APIView):
    @extend_schema(request=serializers.AnswersSerializer, responses=serializers.ChangedSerializer)
    def post(self, request: Request, dataset_id: uuid.UUID) -> Response:
        """Give many rows of a draft one `answer`, or replace words in their answers."""
        dataset = dataset_for(request_org(request), dataset_id)
        serializer = serializers.AnswersSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given, actor = serializer.validated_data, request_user(request)
        if "answer" in given:
            changed = curation.relabel(
                actor=actor, version=dataset, chosen=serializer.chosen, answer=given["answer"]
            )
        else:
            changed = curation.replace_in_answers(
                actor=actor,
                version=dataset,
                chosen=serializer.chosen,
                find=given["find"],
                replacement=given["replacement"],
            )
        return _changed(request, dataset_id, changed)


class DatasetRowView(APIView):
    @extend_schema(responses=DatasetRowSerializer)
    def get(self, request: Request, dataset_id: uuid.UUID, row_id: int) -> Response:
        row = row_for(dataset_for(request_org(request), dataset_id), row_id)
        return Response(DatasetRowSerializer(row).data)

    @extend_schema(request=serializers.RowEditSerializer, responses=DatasetRowSerializer)
    def patch(self, request: Request, dataset_id: uuid.UUID, row_id: int) -> Response:
        """Edit one row of a draft. `original_messages` keep it as it was selected."""
        row = row_for(dataset_for(request_org(request), dataset_id), row_id)
        serializer = serializers.RowEditSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        kept = {"input": row.input, "answer": row.answer}
        row = curation.edit_row(
            actor=request_user(request), row=row, **kept | serializer.validated_data
        )
        return Response(DatasetRowSerializer(row).data)


class DatasetRowRestoreView(APIView):
    @extend_schema(request=None, responses=DatasetRowSerializer)
    def post(self, request: Request, dataset_id: uuid.UUID, row_id: int) -> Response:
        """Take the edits of one row back."""
        row = row_for(dataset_for(request_org(request), dataset_id), row_id)
        row = curation.restore_row(actor=request_user(request), row=row)
        return Response(DatasetRowSerializer(row).data)


class DatasetDraftView(APIView):
    @extend_schema(request=None, responses={201: DatasetSerializer})
    def post(self, request: Request, dataset_id: uuid.UUID) -> Response:
        """Make a draft with the rows of a frozen dataset."""
        dataset = dataset_for(request_org(request), dataset_id)
        draft = curation.draft_of(actor=request_user(request), version=dataset)
        return Response(_shown(request, draft.id), status=status.HTTP_201_CREATED)


@extend_schema(parameters=[KIND, OFFSET, LIMIT])
class DatasetCompareView(APIView):
    @extend_schema(responses=serializers.ComparisonSerializer)
    def get(self, request: Request, dataset_id: uuid.UUID, other_id: uuid.UUID) -> Response:
        """Compare the kept rows of two versions of one model; `kind` says which are listed."""
        first = dataset_for(request_org(request), dataset_id)
        second = sibling_for(first, other_id)
        kind = request.query_params.get("kind", "changed")
        if kind not in KINDS:
            raise exceptions.ValidationError({"kind": f"One of {', '.join(KINDS)}."})
        start = number_of(request, "offset", 0)
        stop = start + page_size_of(request, 50, most=MOST_PAIRS)
        counts = counts_of(first, second)
        comparison = Comparison(
            first=ComparedVersion(first.id, distributions_of(first)),
            second=ComparedVersion(second.id, distributions_of(second)),
            counts=counts,
            kind=kind,
            rows=pairs_of(first, second, kind, range(counts[kind])[start:stop]),
        )
        return Response(serializers.ComparisonSerializer(comparison).data)


def _changed(request: Request, dataset_id: uuid.UUID, changed: int) -> Response:
    return Response({"changed": changed, "dataset": _shown(request, dataset_id)})


def _shown(request: Request, dataset_id: uuid.UUID) -> ReturnDict[str, Any]:
    return DatasetSerializer(dataset_for(request_org(request), dataset_id)).data
