from django.urls import path

from models_app.gateway.stored.views import ChatView, StoredCompletionView, StoredMessagesView
from models_app.gateway.views import CompletionsView, ServedModelsView
from models_app.webhooks import openai_api as webhooks

STORED = "chat/completions/<str:completion_id>"
ENDPOINT = "webhook_endpoints/<str:endpoint_name>"

urlpatterns = [
    path("chat/completions", ChatView.as_view(), name="openai_chat_completions"),
    path(STORED, StoredCompletionView.as_view(), name="openai_stored_completion"),
    path(
        f"{STORED}/messages",
        StoredMessagesView.as_view(),
        name="openai_stored_completion_messages",
    ),
    path("completions", CompletionsView.as_view(), name="openai_completions"),
    path("models", ServedModelsView.as_view(), name="openai_models"),
    path("webhook_endpoints", webhooks.EndpointsView.as_view(), name="openai_webhook_endpoints"),
    path(
        "webhook_event_types", webhooks.EventTypesView.as_view(), name="openai_webhook_event_types"
    ),
    path(ENDPOINT, webhooks.EndpointView.as_view(), name="openai_webhook_endpoint"),
    path(
        f"{ENDPOINT}/rotate_secret",
        webhooks.EndpointSecretView.as_view(),
        name="openai_webhook_endpoint_secret",
    ),
    path(
        f"{ENDPOINT}/test", webhooks.EndpointTestView.as_view(), name="openai_webhook_endpoint_test"
    ),
]
