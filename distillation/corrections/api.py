"""/api/v1/models/{id}/corrections: what a model should have answered, for its next dataset."""

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from distillation.access import answering_version, correction_for
from distillation.corrections import services as corrections
from distillation.limits import TEXT_CHARS
from distillation.models import CandidateRow
from models_app.access import model_for
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY
from modelstation.core.web.api import Choice, StrictSerializer

MOST_NUMBER = 2**31 - 1
STATE = OpenApiParameter("state", OpenApiTypes.STR, enum=CandidateRow.State.values)


class CorrectionSerializer(serializers.ModelSerializer[CandidateRow]):
    """`conflict`: what it contradicts; `refusal`: why the last build left it out."""

    model = serializers.UUIDField(source="model_id")
    version = serializers.UUIDField(source="version_id", allow_null=True)
    dataset = serializers.UUIDField(source="dataset_id", allow_null=True)
    conflict = serializers.SerializerMethodField()

    class Meta:
        model = CandidateRow
        fields = [
            "id", "model", "version", "version_number", "system_prompt", "input", "wrong_answer",
            "correction", "state", "conflict", "refusal", "dataset", "created_at", "updated_at",
        ]  # fmt: skip

    def get_conflict(self, row: CandidateRow) -> str:
        known: dict[uuid.UUID, str] | None = self.context.get("conflicts")
        return corrections.conflict_of(row) if known is None else known[row.id]


class CorrectionDraftSerializer(StrictSerializer):
    version = serializers.IntegerField(
        min_value=1,
        max_value=MOST_NUMBER,
        required=False,
        help_text="The number of the version that answered; else the live one, or the newest.",
    )
    input = serializers.CharField(max_length=TEXT_CHARS)
    correction = serializers.CharField(max_length=TEXT_CHARS)
    wrong_answer = serializers.CharField(max_length=TEXT_CHARS, required=False, allow_blank=True)
    system_prompt = serializers.CharField(max_length=TEXT_CHARS, required=False, allow_blank=True)


class CorrectionChangesSerializer(StrictSerializer):
    input = serializers.CharField(max_length=TEXT_CHARS, required=False)
    correction = serializers.CharField(max_length=TEXT_CHARS, required=False)
    state = Choice(list(corrections.DECISIONS), required=False)

    def validate(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if not given:
            raise serializers.ValidationError(f"Give {' or '.join(self.fields)}.")
        return given


@extend_schema(parameters=[STATE], methods=["get"])
class CorrectionsView(generics.ListAPIView[CandidateRow]):
    """Newest first."""

    serializer_class = CorrectionSerializer

    def get_queryset(self) -> QuerySet[CandidateRow]:
        model = model_for(request_org(self.request), self.kwargs["model_id"])
        rows: QuerySet[CandidateRow] = model.candidate_rows.select_related("model")
        state = self.request.query_params.get("state")
        if state is not None and state not in CandidateRow.State.values:
            known = ", ".join(CandidateRow.State.values)
            raise exceptions.ValidationError({"state": f"One of {known}."})
        return rows.filter(state=state) if state else rows

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        known = corrections.conflicts_of(page[0].model, page) if page else {}
        shown = CorrectionSerializer(page, many=True, context={"conflicts": known})
        return self.get_paginated_response(shown.data)

    @extend_schema(
        request=CorrectionDraftSerializer,
        responses={201: CorrectionSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Say what the model should have answered. Once accepted, the next build trains on it."""
        create = partial(self._create, request, model_id)
        return made_once(request, create, said=request.data)

    def _create(self, request: Request, model_id: uuid.UUID) -> ReturnDict[str, Any]:
        model = model_for(request_org(request), model_id)
        serializer = CorrectionDraftSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        said = dict(serializer.validated_data)
        version = answering_version(model, said.pop("version", None))
        draft = corrections.CorrectionDraft(**said)
        row = corrections.add_correction(actor=request_user(request), version=version, draft=draft)
        return _shown(row)


class CorrectionView(APIView):
    @extend_schema(responses=CorrectionSerializer)
    def get(self, request: Request, model_id: uuid.UUID, correction_id: uuid.UUID) -> Response:
        model = model_for(request_org(request), model_id)
        return Response(_shown(correction_for(model, correction_id)))

    @extend_schema(request=CorrectionChangesSerializer, responses=CorrectionSerializer)
    def patch(self, request: Request, model_id: uuid.UUID, correction_id: uuid.UUID) -> Response:
        """Edit it, then accept or dismiss it; all of what is given, or nothing."""
        row = correction_for(model_for(request_org(request), model_id), correction_id)
        serializer = CorrectionChangesSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        row = corrections.change_correction(
            actor=request_user(request), row=row, **serializer.validated_data
        )
        return Response(_shown(row))


def _shown(row: CandidateRow) -> ReturnDict[str, Any]:
    return CorrectionSerializer(row).data
