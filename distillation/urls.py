"""Pages of data, under /o/<org>/."""

from django.urls import path

from distillation.views import datasets, imports, sources

urlpatterns = [
    path("sources/", sources.sources, name="sources"),
    path("sources/new/", imports.source_new, name="source_new"),
    path("sources/<uuid:source_id>/", sources.source, name="source"),
    path("imports/<uuid:import_id>/", imports.import_page, name="import"),
    path("imports/<uuid:import_id>/live/", imports.import_live, name="import_live"),
    path("imports/<uuid:import_id>/preview/", imports.import_preview, name="import_preview"),
    path("imports/<uuid:import_id>/confirm/", imports.import_confirm, name="import_confirm"),
    path("imports/<uuid:import_id>/cancel/", imports.import_cancel, name="import_cancel"),
    path("imports/<uuid:import_id>/rejected/", imports.import_rejected, name="import_rejected"),
    path("datasets/<uuid:dataset_id>/", datasets.dataset, name="dataset"),
    path("datasets/<uuid:dataset_id>/rows.jsonl", datasets.dataset_jsonl, name="dataset_jsonl"),
    path(
        "datasets/<uuid:dataset_id>/rows.parquet", datasets.dataset_parquet, name="dataset_parquet"
    ),
]
