"""/api/v1/datasets/{id}/pushes: send a frozen dataset to the hub, and see the result."""

import uuid
from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_membership, request_org
from accounts.models import Membership, Role
from distillation.access import dataset_for
from distillation.models import DatasetPush
from distillation.pushes.services import submit_push
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY
from modelstation.core.web.api import StrictSerializer


class PushDraftSerializer(StrictSerializer):
    repo_id = serializers.CharField(max_length=200, help_text="namespace/name")
    is_private = serializers.BooleanField(default=True)


class JobStateSerializer(serializers.Serializer[Any]):
    state = serializers.CharField(source="job.state", default="")
    error_code = serializers.CharField(source="job.error_code", default="")
    error = serializers.CharField(source="job.error_text", default="")


class PushSerializer(JobStateSerializer, serializers.ModelSerializer[DatasetPush]):
    """`state` is the job's. `url`, `commit` and `digest` are there once it succeeded;
    `is_new_commit` is false when the repository held this digest already.
    """

    class Meta:
        model = DatasetPush
        fields = [
            "id", "dataset", "repo_id", "is_private", "state", "error_code", "error", "url",
            "commit", "digest", "is_new_commit", "created_at",
        ]  # fmt: skip


class DatasetPushesView(generics.ListAPIView[DatasetPush]):
    serializer_class = PushSerializer

    def get_queryset(self) -> QuerySet[DatasetPush]:
        dataset = dataset_for(request_org(self.request), self.kwargs["dataset_id"])
        pushes: QuerySet[DatasetPush] = dataset.pushes.select_related("job")
        return pushes

    @extend_schema(
        request=PushDraftSerializer, responses={201: PushSerializer}, parameters=[IDEMPOTENCY_KEY]
    )
    def post(self, request: Request, dataset_id: uuid.UUID) -> Response:
        """Push it with the organisation's token. The same digest is never committed twice."""
        caller = request_membership(request, role=Role.ADMIN)
        push = partial(self._submit, caller, request, dataset_id)
        return made_once(request, push, said=request.data)

    def _submit(
        self, caller: Membership, request: Request, dataset_id: uuid.UUID
    ) -> dict[str, Any]:
        dataset = dataset_for(caller.org, dataset_id)
        draft = PushDraftSerializer(data=request.data)
        draft.is_valid(raise_exception=True)
        push = submit_push(actor=caller.user, dataset=dataset, **draft.validated_data)
        shown = PushSerializer(push).data
        return {**shown, "id": str(shown["id"]), "dataset": str(shown["dataset"])}
