from django.urls import include, path

from models_app import views
from models_app.bases import views as base_views
from models_app.contract import views as contract_views
from models_app.playground import views as playground_views
from models_app.versions import views as promotion_views

urlpatterns = [
    path("", include("models_app.usage.urls")),
    path("models/", views.model_list, name="models"),
    path("models/<uuid:model_id>/prompt/", views.model_prompt, name="model_prompt"),
    path("models/<uuid:model_id>/curation/", views.model_curation, name="model_curation"),
    path("models/<uuid:model_id>/playground/", playground_views.playground, name="playground"),
    path(
        "models/<uuid:model_id>/playground/answer/",
        playground_views.playground_answer,
        name="playground_answer",
    ),
    path(
        "models/<uuid:model_id>/playground/stream/",
        playground_views.playground_stream,
        name="playground_stream",
    ),
    path("bases/", base_views.base_list, name="bases"),
    path("bases/<str:name>/fetch/", base_views.base_fetch, name="base_fetch"),
    path(
        "bases/fetches/<uuid:fetch_id>/cancel/",
        base_views.base_fetch_cancel,
        name="base_fetch_cancel",
    ),
    path("models/new/contract/", contract_views.contract_preview, name="contract_preview"),
    path("models/<uuid:model_id>/contract/", contract_views.model_contract, name="model_contract"),
    path(
        "models/<uuid:model_id>/contract/preview/",
        contract_views.model_contract_preview,
        name="model_contract_preview",
    ),
    path("models/<uuid:model_id>/rollback/", promotion_views.model_rollback, name="model_rollback"),
    path(
        "versions/<uuid:version_id>/publish/",
        promotion_views.version_publish,
        name="version_publish",
    ),
    path(
        "versions/<uuid:version_id>/<slug:artifact>.zip",
        views.version_download,
        name="version_download",
    ),
]
