"""Pages of data, under /o/<org>/."""

from django.urls import path

from distillation import views

urlpatterns = [
    path("sources/", views.sources, name="sources"),
    path("sources/<uuid:source_id>/", views.source, name="source"),
    path("datasets/<uuid:dataset_id>/", views.dataset, name="dataset"),
    path("datasets/<uuid:dataset_id>/rows.jsonl", views.dataset_jsonl, name="dataset_jsonl"),
    path("datasets/<uuid:dataset_id>/rows.parquet", views.dataset_parquet, name="dataset_parquet"),
]
