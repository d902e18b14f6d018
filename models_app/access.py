"""The doors to models and versions, shared by pages and API."""

import uuid

from django.shortcuts import get_object_or_404

from accounts.models import Organization
from models_app.models import (
    BaseFetch,
    CustomModel,
    ModelVersion,
    WebhookDelivery,
    WebhookEndpoint,
)


def model_for(org: Organization, model_id: uuid.UUID | str) -> CustomModel:
    row: CustomModel = get_object_or_404(
        CustomModel.objects.select_related("base", "live_version", "created_by"),
        org=org,
        id=model_id,
    )
    return row


def version_for(org: Organization, version_id: uuid.UUID | str) -> ModelVersion:
    row: ModelVersion = get_object_or_404(
        ModelVersion.objects.select_related("model", "base"), org=org, id=version_id
    )
    return row


def fetch_for(org: Organization, fetch_id: uuid.UUID | str) -> BaseFetch:
    row: BaseFetch = get_object_or_404(
        BaseFetch.objects.select_related("base", "job", "org"), org=org, id=fetch_id
    )
    return row


def webhook_for(org: Organization, webhook_id: uuid.UUID | str) -> WebhookEndpoint:
    row: WebhookEndpoint = get_object_or_404(
        WebhookEndpoint.objects.select_related("org"), org=org, id=webhook_id
    )
    return row


def delivery_for(endpoint: WebhookEndpoint, delivery_id: uuid.UUID) -> WebhookDelivery:
    deliveries = WebhookDelivery.objects.select_related("endpoint__org")
    row: WebhookDelivery = get_object_or_404(deliveries, endpoint=endpoint, id=delivery_id)
    return row
