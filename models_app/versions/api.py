"""Publishing, rolling back, and the history of what was live."""

import uuid
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_membership, request_org, request_user
from accounts.models import Role
from models_app.access import model_for, version_for
from models_app.api.serializers import VersionSerializer
from models_app.api.shapes import valid
from models_app.models import Promotion
from models_app.versions import promotions
from modelstation.core.web.api import StrictSerializer


class PublishSerializer(StrictSerializer):
    """Nothing is needed for a version that passed. `override` publishes one against its evaluation:
    for owners and admins, with the reason, which is audited.
    """

    override = serializers.BooleanField(required=False, default=False)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["override"] and not given.get("reason"):
            raise serializers.ValidationError({"reason": "Say why it goes live all the same."})
        return given


class PromotionSerializer(serializers.ModelSerializer[Promotion]):
    """One line of the history, newest first. `actor` is null where an evaluation promoted it."""

    number = serializers.IntegerField(source="version.number")
    actor = serializers.EmailField(source="actor.email", default=None, allow_null=True)

    class Meta:
        model = Promotion
        fields = [
            "id", "kind", "version", "number", "actor", "verdict", "override_reason",
            "evaluation_id", "created_at",
        ]  # fmt: skip


class VersionPublishView(APIView):
    @extend_schema(request=PublishSerializer, responses=VersionSerializer)
    def post(self, request: Request, version_id: uuid.UUID) -> Response:
        """Serve this version under the model's name. It must have passed its evaluation, and must
        not score less than the live version by more than the interval; else 409, unless overridden.
        """
        version = version_for(request_org(request), version_id)
        wanted = valid(PublishSerializer(data=request.data))
        reason = wanted.get("reason", "") if wanted["override"] else ""
        caller = request_membership(request, role=Role.ADMIN if reason else Role.MEMBER)
        promotions.publish_version(actor=caller.user, version=version, override_reason=reason)
        version = version_for(request_org(request), version_id)
        return Response(VersionSerializer(version).data)


class ModelRollbackView(APIView):
    @extend_schema(request=None, responses=VersionSerializer)
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Serve what was live before; 409 when nothing was."""
        model = model_for(request_org(request), model_id)
        version = promotions.roll_back(actor=request_user(request), model=model)
        return Response(VersionSerializer(version_for(model.org, version.id)).data)


class ModelPromotionsView(generics.ListAPIView[Promotion]):
    serializer_class = PromotionSerializer

    def get_queryset(self) -> QuerySet[Promotion]:
        model = model_for(request_org(self.request), self.kwargs["model_id"])
        history: QuerySet[Promotion] = model.promotions.select_related("version", "actor")
        return history
