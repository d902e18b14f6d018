"""Access to models and what belongs to them, shared by pages and API: a stranger's is a 404."""

import uuid
from typing import TypeVar

from django.db.models import Model
from django.shortcuts import get_object_or_404

from accounts.models import Organization
from models_app.models import (
    BaseFetch,
    CustomModel,
    ModelVersion,
    WebhookDelivery,
    WebhookEndpoint,
)

Row = TypeVar("Row", bound=Model)


def model_for(org: Organization, model_id: uuid.UUID | str) -> CustomModel:
    return _get(CustomModel, "base", "live_version", "created_by", org=org, id=model_id)


def version_for(org: Organization, version_id: uuid.UUID | str) -> ModelVersion:
    return _get(ModelVersion, "model", "base", org=org, id=version_id)


def fetch_for(org: Organization, fetch_id: uuid.UUID | str) -> BaseFetch:
    return _get(BaseFetch, "base", "job", "org", org=org, id=fetch_id)


def webhook_for(org: Organization, webhook_id: uuid.UUID | str) -> WebhookEndpoint:
    return _get(WebhookEndpoint, "org", org=org, id=webhook_id)


def delivery_for(endpoint: WebhookEndpoint, delivery_id: uuid.UUID) -> WebhookDelivery:
    return _get(WebhookDelivery, "endpoint__org", endpoint=endpoint, id=delivery_id)


def lock(model_id: uuid.UUID) -> CustomModel:
    """Return the model, locked until the transaction ends."""
    rows = CustomModel.objects.select_for_update(of=("self",))
    model: CustomModel = rows.select_related("base", "org", "live_version").get(id=model_id)
    return model


def _get(kind: type[Row], *related: str, **match: object) -> Row:
    return get_object_or_404(kind._default_manager.select_related(*related), **match)
