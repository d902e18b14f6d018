"""Pages of data, under /o/<org>/."""

from django.urls import path

from distillation.views import datasets, quality, sources

urlpatterns = [
    path("sources/", sources.sources, name="sources"),
    path("sources/<uuid:source_id>/", sources.source, name="source"),
    path("sources/<uuid:source_id>/quality/", quality.quality, name="source_quality"),
    path("datasets/<uuid:dataset_id>/", datasets.dataset, name="dataset"),
    path("datasets/<uuid:dataset_id>/rows.jsonl", datasets.dataset_jsonl, name="dataset_jsonl"),
    path(
        "datasets/<uuid:dataset_id>/rows.parquet", datasets.dataset_parquet, name="dataset_parquet"
    ),
]
