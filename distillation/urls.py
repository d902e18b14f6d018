"""Pages of data, under /o/<org>/."""

from django.urls import path

from distillation.views import compare, curation, datasets, sources

urlpatterns = [
    path("sources/", sources.sources, name="sources"),
    path("sources/<uuid:source_id>/", sources.source, name="source"),
    path("datasets/<uuid:dataset_id>/", datasets.dataset, name="dataset"),
    path("datasets/<uuid:dataset_id>/rows/", curation.dataset_rows, name="dataset_rows"),
    path("datasets/<uuid:dataset_id>/rows/<int:row_id>/", curation.dataset_row, name="dataset_row"),
    path("datasets/<uuid:dataset_id>/freeze/", curation.dataset_freeze, name="dataset_freeze"),
    path("datasets/<uuid:dataset_id>/draft/", curation.dataset_draft, name="dataset_draft"),
    path("datasets/<uuid:dataset_id>/discard/", curation.dataset_discard, name="dataset_discard"),
    path(
        "datasets/<uuid:dataset_id>/compare/<uuid:other_id>/",
        compare.dataset_compare,
        name="dataset_compare",
    ),
    path("datasets/<uuid:dataset_id>/rows.jsonl", datasets.dataset_jsonl, name="dataset_jsonl"),
    path(
        "datasets/<uuid:dataset_id>/rows.parquet", datasets.dataset_parquet, name="dataset_parquet"
    ),
]
