"""/api/v1/models/{id}/logs: stored answers of a model, and rows made of them."""

import uuid
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_org, request_user
from distillation.imports.serializers import ImportSerializer
from distillation.logs import services as logs
from distillation.logs.forms import LogFilterForm, chosen_or_refused
from models_app.access import model_for
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY, valid
from models_app.models import StoredCompletion
from modelstation.core.web.api import StrictSerializer

FILTERS = [
    OpenApiParameter("version", OpenApiTypes.INT, description="Number of a version."),
    OpenApiParameter("metadata", OpenApiTypes.STR, description="`key` or `key=value`."),
    OpenApiParameter("text", OpenApiTypes.STR, description="What question or answer holds."),
]


class StoredCompletionSerializer(serializers.ModelSerializer[StoredCompletion]):
    id = serializers.CharField(source="completion_id")
    model = serializers.CharField(source="name", help_text="As it was requested.")
    version = serializers.IntegerField(source="version.number", allow_null=True, default=None)

    class Meta:
        model = StoredCompletion
        fields = [
            "id", "model", "version", "messages", "choices", "usage", "metadata", "created_at",
        ]  # fmt: skip


class LogFilterSerializer(StrictSerializer):
    """Which of them become rows; left out: all."""

    version = serializers.IntegerField(required=False, min_value=1)
    metadata = serializers.CharField(required=False, allow_blank=True, max_length=600)
    text = serializers.CharField(required=False, allow_blank=True, max_length=200)


@extend_schema(parameters=FILTERS, methods=["get"])
class LogsView(generics.ListAPIView[StoredCompletion]):
    """Answers that requests wanted stored, newest first."""

    serializer_class = StoredCompletionSerializer

    def get_queryset(self) -> QuerySet[StoredCompletion]:
        model = model_for(request_org(self.request), self.kwargs["model_id"])
        chosen = chosen_or_refused(LogFilterForm(self.request.query_params))
        return logs.stored_of(model, chosen)

    @extend_schema(
        request=LogFilterSerializer,
        responses={201: ImportSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Make rows of them: a job, which is an import. Nobody has checked these answers, and each
        row says so.
        """
        return made_once(request, lambda: self._use(request, model_id), said=request.data)

    def _use(self, request: Request, model_id: uuid.UUID) -> dict[str, Any]:
        model = model_for(request_org(request), model_id)
        said = valid(LogFilterSerializer(data=request.data))
        chosen = chosen_or_refused(LogFilterForm(said))
        use = logs.use_logs(actor=request_user(request), model=model, chosen=chosen)
        return ImportSerializer(use.run).data
