"""/v1/webhook_endpoints: the same webhooks as in /api/v1, as OpenAI's client manages them."""

import uuid
from typing import Literal, NotRequired, TypedDict

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_membership, request_org
from accounts.models import Role
from models_app.access import webhook_for
from models_app.api.shapes import valid
from models_app.gateway.shapes import Identified
from models_app.gateway.views import OpenAIView, list_response
from models_app.models import WebhookEndpoint
from models_app.webhooks import services as webhooks
from models_app.webhooks.api import for_admin
from models_app.webhooks.rows import WebhookEvent
from modelstation.core.errors import UserFacingError
from modelstation.core.web.api import Choice, StrictSerializer, limit_of

PREFIX = "we_"
DEFAULT_LIMIT, MOST = 20, 100


class Extension(TypedDict):
    is_enabled: bool
    disabled_reason: str | None


class EndpointShape(Identified):
    object: Literal["webhook_endpoint"]
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str
    modelstation: Extension
    signing_secret: NotRequired[str]  # in the answer that made it


class EndpointDraftSerializer(StrictSerializer):
    name = serializers.CharField(max_length=80)
    url = serializers.CharField(max_length=500)
    event_types = serializers.ListField(
        source="events", child=Choice(WebhookEvent.choices), allow_empty=False
    )


class EndpointRotationSerializer(StrictSerializer):
    keep_old_secret_active_for_24_hours = serializers.BooleanField(default=False)


class EndpointTestSerializer(StrictSerializer):
    event_type = Choice(WebhookEvent.choices)


class EndpointsView(OpenAIView):
    @extend_schema(
        operation_id="openai_webhook_endpoints",
        parameters=[OpenApiParameter("after"), OpenApiParameter("limit", OpenApiTypes.INT)],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """List the organisation's webhooks, newest first."""
        own = list(WebhookEndpoint.objects.for_org(request_org(request)))
        if after := request.query_params.get("after"):
            names = [_name_of(endpoint) for endpoint in own]
            if after not in names:
                message = f"Nothing here has the id “{after[:80]}”."
                raise exceptions.ValidationError({"after": message})
            own = own[names.index(after) + 1 :]
        limit = limit_of(request, DEFAULT_LIMIT, most=MOST)
        return list_response(map(_shape, own[:limit]), has_more=len(own) > limit)

    @extend_schema(
        operation_id="openai_webhook_endpoint_create",
        request=EndpointDraftSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request) -> Response:
        """Make a webhook. Its `signing_secret` is in this answer only."""
        caller = request_membership(request, role=Role.ADMIN)
        fields = valid(EndpointDraftSerializer(data=request.data))
        endpoint, secret = webhooks.create_endpoint(actor=caller.user, org=caller.org, **fields)
        return Response({**_shape(endpoint), "signing_secret": secret})


class EndpointView(OpenAIView):
    @extend_schema(operation_id="openai_webhook_endpoint", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, endpoint_name: str) -> Response:
        return Response(_shape(webhook_for(request_org(request), _id_of(endpoint_name))))

    @extend_schema(
        operation_id="openai_webhook_endpoint_change",
        request=EndpointDraftSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, endpoint_name: str) -> Response:
        """Change the fields that are given."""
        caller, endpoint = for_admin(request, _id_of(endpoint_name))
        changes = valid(EndpointDraftSerializer(data=request.data, partial=True))
        webhooks.change_endpoint(actor=caller.user, endpoint=endpoint, **changes)
        return Response(_shape(endpoint))

    @extend_schema(
        operation_id="openai_webhook_endpoint_delete", responses={200: OpenApiTypes.OBJECT}
    )
    def delete(self, request: Request, endpoint_name: str) -> Response:
        caller, endpoint = for_admin(request, _id_of(endpoint_name))
        webhooks.delete_endpoint(actor=caller.user, endpoint=endpoint)
        gone = {"id": endpoint_name, "object": "webhook_endpoint.deleted", "deleted": True}
        return Response(gone)


class EndpointSecretView(OpenAIView):
    @extend_schema(
        operation_id="openai_webhook_endpoint_rotate",
        request=EndpointRotationSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, endpoint_name: str) -> Response:
        """Make a new secret, shown in this answer only."""
        caller, endpoint = for_admin(request, _id_of(endpoint_name))
        rotation = valid(EndpointRotationSerializer(data=request.data))
        keep_old = rotation["keep_old_secret_active_for_24_hours"]
        secret = webhooks.rotate_secret(actor=caller.user, endpoint=endpoint, keep_old=keep_old)
        return Response({**_shape(endpoint), "signing_secret": secret})


class EndpointTestView(OpenAIView):
    @extend_schema(
        operation_id="openai_webhook_endpoint_test",
        request=EndpointTestSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, endpoint_name: str) -> Response:
        """Send an event of a job that never was, and show what the receiver answered."""
        caller, endpoint = for_admin(request, _id_of(endpoint_name))
        event = valid(EndpointTestSerializer(data=request.data))["event_type"]
        sent = webhooks.send_test(actor=caller.user, endpoint=endpoint, event=event, at_once=True)
        if sent.status_code is None:
            message = f"Nobody answered: {sent.error}."
            raise UserFacingError(message, code="webhook_unreachable", param="url")
        shown = {"object": "webhook_endpoint.test", "webhook_endpoint_id": endpoint_name}
        result = {"event_type": event, "status_code": sent.status_code, "success": True}
        return Response(shown | result)


class EventTypesView(OpenAIView):
    @extend_schema(operation_id="openai_webhook_event_types", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        return Response({"object": "list", "data": WebhookEvent.values})


def _id_of(name: str) -> uuid.UUID:
    try:
        return uuid.UUID(hex=name.removeprefix(PREFIX))
    except ValueError:
        raise Http404 from None


def _name_of(endpoint: WebhookEndpoint) -> str:
    return f"{PREFIX}{endpoint.id.hex}"


def _shape(endpoint: WebhookEndpoint) -> EndpointShape:
    return {
        "id": _name_of(endpoint),
        "object": "webhook_endpoint",
        "created_at": int(endpoint.created_at.timestamp()),
        "updated_at": int(endpoint.updated_at.timestamp()),
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.events,
        "signing_secret_hint": endpoint.secret_hint,
        "modelstation": {
            "is_enabled": endpoint.is_enabled,
            "disabled_reason": endpoint.disabled_reason or None,
        },
    }
