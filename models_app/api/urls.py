from django.urls import path

from models_app.api import views
from models_app.bases.api import BaseFetchView, BasesView, RecommendationView
from models_app.contract.api import ModelContractView
from models_app.usage.api import UsageView
from models_app.versions.api import ModelPromotionsView, ModelRollbackView, VersionPublishView
from models_app.webhooks import api as webhooks

MODEL, VERSION = "models/<uuid:model_id>/", "versions/<uuid:version_id>"
WEBHOOK = "webhooks/<uuid:webhook_id>"

urlpatterns = [
    path(f"{MODEL}events", views.ModelEventsView.as_view(), name="api_model_events"),
    path(f"{MODEL}events/stream", views.ModelStreamView.as_view(), name="api_model_stream"),
    path(f"{MODEL}versions", views.ModelVersionsView.as_view(), name="api_model_versions"),
    path(f"{MODEL}contract", ModelContractView.as_view(), name="api_model_contract"),
    path(f"{MODEL}rollback", ModelRollbackView.as_view(), name="api_model_rollback"),
    path(f"{MODEL}promotions", ModelPromotionsView.as_view(), name="api_model_promotions"),
    path(VERSION, views.VersionView.as_view(), name="api_version"),
    path(f"{VERSION}/publish", VersionPublishView.as_view(), name="api_version_publish"),
    path("bases", BasesView.as_view(), name="api_bases"),
    path("bases/recommendation", RecommendationView.as_view(), name="api_base_recommendation"),
    path("bases/<str:name>/fetch", BaseFetchView.as_view(), name="api_base_fetch"),
    path("usage", UsageView.as_view(), name="api_usage"),
    path("webhooks", webhooks.WebhooksView.as_view(), name="api_webhooks"),
    path(WEBHOOK, webhooks.WebhookView.as_view(), name="api_webhook"),
    path(
        f"{WEBHOOK}/rotate-secret", webhooks.WebhookSecretView.as_view(), name="api_webhook_secret"
    ),
    path(f"{WEBHOOK}/test", webhooks.WebhookTestView.as_view(), name="api_webhook_test"),
    path(f"{WEBHOOK}/deliveries", webhooks.DeliveriesView.as_view(), name="api_webhook_deliveries"),
    path(
        f"{WEBHOOK}/deliveries/<uuid:delivery_id>/redeliver",
        webhooks.RedeliverView.as_view(),
        name="api_webhook_redeliver",
    ),
]
