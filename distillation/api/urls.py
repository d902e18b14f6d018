from django.urls import path

from distillation.api import intents, views

urlpatterns = [
    path("intents", intents.IntentsView.as_view(), name="api_intents"),
    path("sources", views.SourcesView.as_view(), name="api_sources"),
    path("sources/<uuid:source_id>", views.SourceView.as_view(), name="api_source"),
    path("datasets", views.DatasetsView.as_view(), name="api_datasets"),
    path("datasets/<uuid:dataset_id>", views.DatasetView.as_view(), name="api_dataset"),
    path(
        "datasets/<uuid:dataset_id>/rows", views.DatasetRowsView.as_view(), name="api_dataset_rows"
    ),
    path(
        "datasets/<uuid:dataset_id>/export",
        views.DatasetExportView.as_view(),
        name="api_dataset_export",
    ),
]
