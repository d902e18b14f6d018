from django.urls import include, path

from models_app.api import views
from models_app.bases import api as bases
from models_app.contract import api as contracts
from models_app.versions import api as promotions

urlpatterns = [
    path("", include("models_app.usage.api_urls")),
    path("models/<uuid:model_id>/events", views.ModelEventsView.as_view(), name="api_model_events"),
    path(
        "models/<uuid:model_id>/events/stream",
        views.ModelStreamView.as_view(),
        name="api_model_stream",
    ),
    path(
        "models/<uuid:model_id>/versions",
        views.ModelVersionsView.as_view(),
        name="api_model_versions",
    ),
    path(
        "models/<uuid:model_id>/contract",
        contracts.ModelContractView.as_view(),
        name="api_model_contract",
    ),
    path(
        "models/<uuid:model_id>/rollback",
        promotions.ModelRollbackView.as_view(),
        name="api_model_rollback",
    ),
    path(
        "models/<uuid:model_id>/promotions",
        promotions.ModelPromotionsView.as_view(),
        name="api_model_promotions",
    ),
    path("versions/<uuid:version_id>", views.VersionView.as_view(), name="api_version"),
    path(
        "versions/<uuid:version_id>/publish",
        promotions.VersionPublishView.as_view(),
        name="api_version_publish",
    ),
    path("bases", bases.BasesView.as_view(), name="api_bases"),
    path(
        "bases/recommendation",
        bases.RecommendationView.as_view(),
        name="api_base_recommendation",
    ),
    path("bases/<str:name>/fetch", bases.BaseFetchView.as_view(), name="api_base_fetch"),
]
