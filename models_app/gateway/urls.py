from django.urls import path

from models_app.gateway import views as openai
from models_app.webhooks import openai_api as openai_webhooks

urlpatterns = [
    path("chat/completions", openai.ChatCompletionsView.as_view(), name="openai_chat_completions"),
    path("completions", openai.CompletionsView.as_view(), name="openai_completions"),
    path("models", openai.ServedModelsView.as_view(), name="openai_models"),
    path(
        "webhook_endpoints",
        openai_webhooks.EndpointsView.as_view(),
        name="openai_webhook_endpoints",
    ),
    path(
        "webhook_event_types",
        openai_webhooks.EventTypesView.as_view(),
        name="openai_webhook_event_types",
    ),
    path(
        "webhook_endpoints/<str:endpoint_name>",
        openai_webhooks.EndpointView.as_view(),
        name="openai_webhook_endpoint",
    ),
    path(
        "webhook_endpoints/<str:endpoint_name>/rotate_secret",
        openai_webhooks.EndpointSecretView.as_view(),
        name="openai_webhook_endpoint_secret",
    ),
    path(
        "webhook_endpoints/<str:endpoint_name>/test",
        openai_webhooks.EndpointTestView.as_view(),
        name="openai_webhook_endpoint_test",
    ),
]
