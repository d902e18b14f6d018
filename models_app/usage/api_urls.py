from django.urls import path

from models_app.usage import api as usage
from models_app.webhooks import api as webhooks

urlpatterns = [
    path("usage", usage.UsageView.as_view(), name="api_usage"),
    path("webhooks", webhooks.WebhooksView.as_view(), name="api_webhooks"),
    path("webhooks/<uuid:webhook_id>", webhooks.WebhookView.as_view(), name="api_webhook"),
    path(
        "webhooks/<uuid:webhook_id>/rotate-secret",
        webhooks.WebhookSecretView.as_view(),
        name="api_webhook_secret",
    ),
    path(
        "webhooks/<uuid:webhook_id>/test",
        webhooks.WebhookTestView.as_view(),
        name="api_webhook_test",
    ),
    path(
        "webhooks/<uuid:webhook_id>/deliveries",
        webhooks.DeliveriesView.as_view(),
        name="api_webhook_deliveries",
    ),
    path(
        "webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/redeliver",
        webhooks.RedeliverView.as_view(),
        name="api_webhook_redeliver",
    ),
]
