from django.urls import path

from models_app.api import openai

urlpatterns = [
    path("chat/completions", openai.ChatCompletionsView.as_view(), name="openai_chat_completions"),
    path("completions", openai.CompletionsView.as_view(), name="openai_completions"),
    path("models", openai.ServedModelsView.as_view(), name="openai_models"),
    path("models/<path:name>", openai.ServedModelView.as_view(), name="openai_model"),
]
