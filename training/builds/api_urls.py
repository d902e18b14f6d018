"""What programs call to create models and to start or end builds, under /api/v1/."""

from django.urls import path

from training.builds import api, understanding_api

urlpatterns = [
    path("intents", understanding_api.IntentsView.as_view(), name="api_intents"),
    path("models", api.ModelsView.as_view(), name="api_models"),
    path("models/<uuid:model_id>", api.ModelView.as_view(), name="api_model"),
    path("models/<uuid:model_id>/cancel", api.ModelCancelView.as_view(), name="api_model_cancel"),
    path(
        "models/<uuid:model_id>/rebuild", api.ModelRebuildView.as_view(), name="api_model_rebuild"
    ),
    path("models/<uuid:model_id>/copy", api.ModelCopyView.as_view(), name="api_model_copy"),
    path(
        "datasets/<uuid:dataset_id>/freeze",
        api.DatasetFreezeView.as_view(),
        name="api_dataset_freeze",
    ),
]
