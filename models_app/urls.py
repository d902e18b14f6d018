from django.urls import path

from models_app.bases.views import base_fetch, base_fetch_cancel, base_list
from models_app.contract.views import contract_preview, model_contract, model_contract_preview
from models_app.playground.views import playground, playground_answer, playground_stream
from models_app.usage.views import usage
from models_app.versions.views import model_rollback, version_publish
from models_app.views import model_curation, model_list, model_prompt, version_download
from models_app.webhooks import views as webhooks

MODEL, VERSION = "models/<uuid:model_id>/", "versions/<uuid:version_id>/"
WEBHOOK = "webhooks/<uuid:webhook_id>/"

urlpatterns = [
    path("models/", model_list, name="models"),
    path("models/new/contract/", contract_preview, name="contract_preview"),
    path(f"{MODEL}prompt/", model_prompt, name="model_prompt"),
    path(f"{MODEL}curation/", model_curation, name="model_curation"),
    path(f"{MODEL}playground/", playground, name="playground"),
    path(f"{MODEL}playground/answer/", playground_answer, name="playground_answer"),
    path(f"{MODEL}playground/stream/", playground_stream, name="playground_stream"),
    path(f"{MODEL}contract/", model_contract, name="model_contract"),
    path(f"{MODEL}contract/preview/", model_contract_preview, name="model_contract_preview"),
    path(f"{MODEL}rollback/", model_rollback, name="model_rollback"),
    path(f"{VERSION}publish/", version_publish, name="version_publish"),
    path(f"{VERSION}<slug:artifact>.zip", version_download, name="version_download"),
    path("bases/", base_list, name="bases"),
    path("bases/<str:name>/fetch/", base_fetch, name="base_fetch"),
    path("bases/fetches/<uuid:fetch_id>/cancel/", base_fetch_cancel, name="base_fetch_cancel"),
    path("usage/", usage, name="usage"),
    path("webhooks/", webhooks.webhook_list, name="webhooks"),
    path(WEBHOOK, webhooks.webhook, name="webhook"),
    path(f"{WEBHOOK}change/", webhooks.webhook_change, name="webhook_change"),
    path(f"{WEBHOOK}delete/", webhooks.webhook_delete, name="webhook_delete"),
    path(f"{WEBHOOK}rotate/", webhooks.webhook_rotate, name="webhook_rotate"),
    path(f"{WEBHOOK}test/", webhooks.webhook_test, name="webhook_test"),
    path(
        f"{WEBHOOK}deliveries/<uuid:delivery_id>/redeliver/",
        webhooks.webhook_redeliver,
        name="webhook_redeliver",
    ),
]
