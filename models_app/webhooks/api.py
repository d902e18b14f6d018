"""/api/v1/webhooks: who is notified of an organisation's jobs. Admins change them, all see them."""

import uuid
from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_membership, request_org
from accounts.models import Membership, Role
from models_app.access import delivery_for, webhook_for
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY, valid
from models_app.models import WebhookDelivery, WebhookEndpoint
from models_app.webhooks import services as webhooks
from models_app.webhooks.rows import WebhookEvent, every_event
from modelstation.core.encrypted import Sealed
from modelstation.core.web.api import Choice, StrictSerializer


class WebhookDraftSerializer(StrictSerializer):
    url = serializers.CharField(max_length=500)
    events = serializers.ListField(
        child=Choice(WebhookEvent.choices),
        allow_empty=False,
        max_length=len(WebhookEvent),
        required=False,
        help_text="Left out: all of them.",
    )
    name = serializers.CharField(max_length=80, required=False, allow_blank=True)


class WebhookChangesSerializer(WebhookDraftSerializer):
    url = serializers.CharField(max_length=500, required=False)
    is_enabled = serializers.BooleanField(required=False)


class WebhookSerializer(serializers.ModelSerializer[WebhookEndpoint]):
    """`secret_hint` is all that is shown of the secret after it was made."""

    events = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id", "name", "url", "events", "is_enabled", "disabled_reason", "secret_hint",
            "failing_since", "created_at", "updated_at",
        ]  # fmt: skip


class NewWebhookSerializer(WebhookSerializer):
    secret = serializers.CharField(help_text="`whsec_…`, in this answer only.")

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]


class DeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """`status_code` and `response` are of the last try; `error` says why there was none."""

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "event_id", "type", "state", "attempts", "tried_at", "next_try_at",
            "status_code", "response", "error", "created_at",
        ]  # fmt: skip


class WebhooksView(generics.ListAPIView[WebhookEndpoint]):
    serializer_class = WebhookSerializer

    def get_queryset(self) -> QuerySet[WebhookEndpoint]:
        own: QuerySet[WebhookEndpoint] = WebhookEndpoint.objects.for_org(request_org(self.request))
        return own

    @extend_schema(
        request=WebhookDraftSerializer,
        responses={201: NewWebhookSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        """Make a webhook. Its `secret` is in this answer only. The URL must be on the public
        internet, unless the operator allows others.
        """
        caller = request_membership(request, role=Role.ADMIN)
        answer = made_once(request, partial(self._create, caller, request), said=request.data)
        # The stored answer is without the secret, which is kept encrypted.
        endpoint = webhook_for(caller.org, answer.data["id"])
        assert isinstance(endpoint.secret, Sealed)
        answer.data = {**answer.data, "secret": endpoint.secret.open()}
        return answer

    def _create(self, caller: Membership, request: Request) -> dict[str, Any]:
        fields = {"events": every_event()} | valid(WebhookDraftSerializer(data=request.data))
        endpoint, _ = webhooks.create_endpoint(actor=caller.user, org=caller.org, **fields)
        return _plain(WebhookSerializer(endpoint).data)


class WebhookView(APIView):
    @extend_schema(responses=WebhookSerializer)
    def get(self, request: Request, webhook_id: uuid.UUID) -> Response:
        return Response(WebhookSerializer(webhook_for(request_org(request), webhook_id)).data)

    @extend_schema(request=WebhookChangesSerializer, responses=WebhookSerializer)
    def patch(self, request: Request, webhook_id: uuid.UUID) -> Response:
        """Change the fields that are given; `is_enabled` turns on again what was turned off."""
        caller, endpoint = for_admin(request, webhook_id)
        fields = valid(WebhookChangesSerializer(data=request.data))
        webhooks.change_endpoint(actor=caller.user, endpoint=endpoint, **fields)
        return Response(WebhookSerializer(endpoint).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, webhook_id: uuid.UUID) -> Response:
        """Delete it with its deliveries; what is still to be sent is not."""
        caller, endpoint = for_admin(request, webhook_id)
        webhooks.delete_endpoint(actor=caller.user, endpoint=endpoint)
        return Response(status=status.HTTP_204_NO_CONTENT)


class WebhookSecretView(APIView):
    @extend_schema(request=None, responses=NewWebhookSerializer)
    def post(self, request: Request, webhook_id: uuid.UUID) -> Response:
        """Make a new secret, shown in this answer only. For a day, both secrets sign."""
        caller, endpoint = for_admin(request, webhook_id)
        secret = webhooks.rotate_secret(actor=caller.user, endpoint=endpoint)
        return Response(WebhookSerializer(endpoint).data | {"secret": secret})


class WebhookTestView(APIView):
    @extend_schema(request=None, responses={201: DeliverySerializer}, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request, webhook_id: uuid.UUID) -> Response:
        """Let a worker send an event of a job that never was; the deliveries show how it went."""
        caller, endpoint = for_admin(request, webhook_id)

        def send() -> dict[str, Any]:
            delivery = webhooks.send_test(actor=caller.user, endpoint=endpoint)
            return _plain(DeliverySerializer(delivery).data)

        return made_once(request, send, said=None)


class DeliveriesView(generics.ListAPIView[WebhookDelivery]):
    serializer_class = DeliverySerializer

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        endpoint = webhook_for(request_org(self.request), self.kwargs["webhook_id"])
        return endpoint.deliveries.all()


class RedeliverView(APIView):
    @extend_schema(request=None, responses=DeliverySerializer)
    def post(self, request: Request, webhook_id: uuid.UUID, delivery_id: uuid.UUID) -> Response:
        """Send the event once more, under the same id."""
        caller, endpoint = for_admin(request, webhook_id)
        delivery = delivery_for(endpoint, delivery_id)
        webhooks.redeliver(actor=caller.user, delivery=delivery)
        return Response(DeliverySerializer(delivery_for(endpoint, delivery_id)).data)


def for_admin(request: Request, webhook_id: uuid.UUID) -> tuple[Membership, WebhookEndpoint]:
    """Raise Http404 for a stranger's webhook, before roles are looked at."""
    endpoint = webhook_for(request_org(request), webhook_id)
    return request_membership(request, role=Role.ADMIN), endpoint


def _plain(shown: Any) -> dict[str, Any]:
    """As JSON holds it: ids as texts."""
    return {**shown, "id": str(shown["id"])}
