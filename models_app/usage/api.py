"""/api/v1/usage: what the organisation's programs used."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_membership
from accounts.models import Role
from models_app.api.shapes import valid
from models_app.usage.services import GROUPS, UsageRow, period_of, usage_by, usage_in_all
from modelstation.core.web.api import Choice

Fields = dict[str, serializers.Field[Any, Any, Any, Any]]
GROUP_CHOICES = list(GROUPS)


class UsageQuerySerializer(serializers.Serializer[Any]):
    to = serializers.DateField(required=False)
    group_by = Choice(GROUP_CHOICES, default="day")

    def get_fields(self) -> Fields:
        """`from` is no name in Python."""
        return {"from": serializers.DateField(required=False)} | super().get_fields()


class UsageSumsSerializer(serializers.Serializer[UsageRow]):
    """`cached_tokens` are those of the prompts that were read from a cache."""

    requests = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class UsageRowSerializer(UsageSumsSerializer):
    """With what it is grouped by: `day`, `model`, or `token` and `token_id`."""

    day = serializers.DateField(required=False)
    model = serializers.CharField(required=False)
    token = serializers.CharField(required=False)
    token_id = serializers.UUIDField(required=False, allow_null=True)

    def get_fields(self) -> Fields:
        """Leave out what the rows are not grouped by, rather than have it null."""
        fields: Fields = super().get_fields()
        if group := self.context.get("group"):
            for name in {"day", "model", "token"} - {group}:
                del fields[name]
            if group != "token":
                del fields["token_id"]
        return fields


class UsageSerializer(serializers.Serializer[Any]):
    group_by = Choice(GROUP_CHOICES)
    total = UsageSumsSerializer()

    def get_fields(self) -> Fields:
        """`from` is no name in Python, and `data` is taken."""
        return {
            "from": serializers.DateField(),
            "to": serializers.DateField(),
            "data": UsageRowSerializer(many=True),
        } | super().get_fields()


class UsageView(APIView):
    @extend_schema(
        parameters=[
            OpenApiParameter("from", OpenApiTypes.DATE, description="Left out: 30 days in all."),
            OpenApiParameter("to", OpenApiTypes.DATE, description="Included. Left out: today."),
            OpenApiParameter("group_by", OpenApiTypes.STR, enum=GROUP_CHOICES),
        ],
        responses=UsageSerializer,
    )
    def get(self, request: Request) -> Response:
        """Sum requests and tokens by day (UTC), model or token, which is for admins only."""
        wanted = valid(UsageQuerySerializer(data=request.query_params.dict()))
        group = wanted["group_by"]
        role = Role.ADMIN if group == "token" else Role.MEMBER
        org = request_membership(request, role=role).org
        period = period_of(wanted.get("from"), wanted.get("to"))
        usage = {
            "from": period.start,
            "to": period.end,
            "group_by": group,
            "data": usage_by(org, period, group),
            "total": usage_in_all(org, period),
        }
        return Response(UsageSerializer(usage, context={"group": group}).data)
