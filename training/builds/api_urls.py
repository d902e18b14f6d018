"""What programs call to create models and to start or end builds, under /api/v1/."""

from django.urls import path

from training.builds import api, understanding_api

A_MODEL = "models/<uuid:model_id>"
DRAFT = "datasets/<uuid:dataset_id>"

urlpatterns = [
    path("intents", understanding_api.IntentsView.as_view(), name="api_intents"),
    path("models", api.ModelsView.as_view(), name="api_models"),
    path(A_MODEL, api.ModelView.as_view(), name="api_model"),
    path(f"{A_MODEL}/cancel", api.ModelCancelView.as_view(), name="api_model_cancel"),
    path(f"{A_MODEL}/rebuild", api.ModelRebuildView.as_view(), name="api_model_rebuild"),
    path(f"{A_MODEL}/copy", api.ModelCopyView.as_view(), name="api_model_copy"),
    path(f"{DRAFT}/freeze", api.DatasetFreezeView.as_view(), name="api_dataset_freeze"),
]
