"""/v1/webhook_endpoints: the same webhooks as in /api/v1, as OpenAI's client manages them."""

import uuid
from datetime import datetime
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_membership, request_org
from accounts.models import Membership, Role
from models_app.access import webhook_for
from models_app.gateway.views import OpenAIView
from models_app.models import WebhookEndpoint
from models_app.webhooks import services as webhooks
from models_app.webhooks.rows import WebhookEvent
from modelstation.core.errors import UserFacingError
from modelstation.core.web.api import Choice, StrictSerializer, limit_of

PREFIX = "we_"
DEFAULT_LIMIT, MOST = 20, 100


class EndpointDraftSerializer(StrictSerializer):
    name = serializers.CharField(max_length=80)
    url = serializers.CharField(max_length=500)
    event_types = serializers.ListField(child=Choice(WebhookEvent.choices), allow_empty=False)


class EndpointRotationSerializer(StrictSerializer):
    keep_old_secret_active_for_24_hours = serializers.BooleanField(default=False)


class EndpointTestSerializer(StrictSerializer):
    event_type = Choice(WebhookEvent.choices)


class EndpointsView(OpenAIView):
    @extend_schema(
        operation_id="openai_webhook_endpoints",
        parameters=[
            OpenApiParameter("after", OpenApiTypes.STR),
            OpenApiParameter("limit", OpenApiTypes.INT),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """The organisation's webhooks, newest first."""
        own = list(WebhookEndpoint.objects.for_org(request_org(request)))
        if after := request.query_params.get("after"):
            names = [_name_of(endpoint) for endpoint in own]
            if after not in names:
                message = f"Nothing here has the id “{after[:80]}”."
                raise exceptions.ValidationError({"after": message})
            own = own[names.index(after) + 1 :]
        limit = limit_of(request, DEFAULT_LIMIT, most=MOST)
        data = [_told(endpoint) for endpoint in own[:limit]]
        ends = {"first_id": None, "last_id": None}
        if data:
            ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return Response({"object": "list", "data": data, "has_more": len(own) > limit} | ends)

    @extend_schema(
        operation_id="openai_webhook_endpoint_create",
        request=EndpointDraftSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request) -> Response:
        """Make a webhook. Its `signing_secret` is in this answer only."""
        caller = request_membership(request, role=Role.ADMIN)
        endpoint, secret = webhooks.create_endpoint(
            actor=caller.user, org=caller.org, **_fields(EndpointDraftSerializer, request)
        )
        return Response(_told(endpoint) | {"signing_secret": secret})


class EndpointView(OpenAIView):
    @extend_schema(operation_id="openai_webhook_endpoint", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, endpoint_name: str) -> Response:
        return Response(_told(_endpoint_for(request, endpoint_name)))

    @extend_schema(
        operation_id="openai_webhook_endpoint_change",
        request=EndpointDraftSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, endpoint_name: str) -> Response:
        """Change the fields that are given."""
        caller, endpoint = _for_admin(request, endpoint_name)
        changes = _fields(EndpointDraftSerializer, request, partial=True)
        webhooks.change_endpoint(actor=caller.user, endpoint=endpoint, **changes)
        return Response(_told(endpoint))

    @extend_schema(
        operation_id="openai_webhook_endpoint_delete", responses={200: OpenApiTypes.OBJECT}
    )
    def delete(self, request: Request, endpoint_name: str) -> Response:
        caller, endpoint = _for_admin(request, endpoint_name)
        webhooks.delete_endpoint(actor=caller.user, endpoint=endpoint)
        return Response(
            {"id": endpoint_name, "object": "webhook_endpoint.deleted", "deleted": True}
        )


class EndpointSecretView(OpenAIView):
    @extend_schema(
        operation_id="openai_webhook_endpoint_rotate",
        request=EndpointRotationSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, endpoint_name: str) -> Response:
        """Make a new secret, shown in this answer only."""
        caller, endpoint = _for_admin(request, endpoint_name)
        asked = _fields(EndpointRotationSerializer, request)
        keep_old = asked["keep_old_secret_active_for_24_hours"]
        secret = webhooks.rotate_secret(actor=caller.user, endpoint=endpoint, keep_old=keep_old)
        return Response(_told(endpoint) | {"signing_secret": secret})


class EndpointTestView(OpenAIView):
    @extend_schema(
        operation_id="openai_webhook_endpoint_test",
        request=EndpointTestSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, endpoint_name: str) -> Response:
        """Send an event of a job that never was, and tell what the receiver answered."""
        caller, endpoint = _for_admin(request, endpoint_name)
        event = _fields(EndpointTestSerializer, request)["event_type"]
        sent = webhooks.send_test(actor=caller.user, endpoint=endpoint, event=event, at_once=True)
        if sent.status_code is None:
            message = f"Nobody answered: {sent.error}."
            raise UserFacingError(message, code="webhook_unreachable", param="url")
        told = {"event_type": event, "status_code": sent.status_code, "success": True}
        return Response(
            {"object": "webhook_endpoint.test", "webhook_endpoint_id": endpoint_name} | told
        )


class EventTypesView(OpenAIView):
    @extend_schema(operation_id="openai_webhook_event_types", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        return Response({"object": "list", "data": WebhookEvent.values})


def _endpoint_for(request: Request, name: str) -> WebhookEndpoint:
    try:
        webhook_id = uuid.UUID(hex=name.removeprefix(PREFIX))
    except ValueError:
        raise Http404 from None
    return webhook_for(request_org(request), webhook_id)


def _for_admin(request: Request, name: str) -> tuple[Membership, WebhookEndpoint]:
    endpoint = _endpoint_for(request, name)
    return request_membership(request, role=Role.ADMIN), endpoint


def _fields(
    kind: type[serializers.Serializer[dict[str, Any]]], request: Request, *, partial: bool = False
) -> dict[str, Any]:
    asked = kind(data=request.data, partial=partial)
    asked.is_valid(raise_exception=True)
    ours = {"event_types": "events"}
    return {ours.get(name, name): value for name, value in asked.validated_data.items()}


def _name_of(endpoint: WebhookEndpoint) -> str:
    return f"{PREFIX}{endpoint.id.hex}"


def _told(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": _name_of(endpoint),
        "object": "webhook_endpoint",
        "created_at": _seconds(endpoint.created_at),
        "updated_at": _seconds(endpoint.updated_at),
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.events,
        "signing_secret_hint": endpoint.secret_hint,
        "modelstation": {
            "is_enabled": endpoint.is_enabled,
            "disabled_reason": endpoint.disabled_reason or None,
        },
    }


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
