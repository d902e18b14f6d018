"""Pages of builds, under /o/<org>/."""

from django.urls import path

from training.builds import understanding_views, views

urlpatterns = [
    path("models/new/", views.model_new, name="model_new"),
    path("models/<uuid:model_id>/delete/", views.model_delete, name="model_delete"),
    path("models/<uuid:model_id>/cancel/", views.model_cancel, name="model_cancel"),
    path("models/<uuid:model_id>/rebuild/", views.model_rebuild, name="model_rebuild"),
    path("models/<uuid:model_id>/copy/", views.model_copy, name="model_copy"),
    path("models/new/understood/", understanding_views.model_understood, name="model_understood"),
    path("models/<uuid:model_id>/intent/", understanding_views.model_intent, name="model_intent"),
    path("models/<uuid:model_id>/labels/", understanding_views.model_labels, name="model_labels"),
    path("models/<uuid:model_id>/edit/", views.model_edit, name="model_edit"),
    path(
        "models/<uuid:model_id>/data/labels/",
        understanding_views.model_data_labels,
        name="model_data_labels",
    ),
    path("datasets/<uuid:dataset_id>/freeze/", views.dataset_freeze, name="dataset_freeze"),
]
