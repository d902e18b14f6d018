"""Pages of data, under /o/<org>/."""

from django.urls import path

from distillation.views import datasets, intents, sources

urlpatterns = [
    path("models/new/understood/", intents.model_understood, name="model_understood"),
    path("models/<uuid:model_id>/intent/", intents.model_intent, name="model_intent"),
    path("models/<uuid:model_id>/labels/", intents.model_labels, name="model_labels"),
    path("sources/", sources.sources, name="sources"),
    path("sources/<uuid:source_id>/", sources.source, name="source"),
    path("datasets/<uuid:dataset_id>/", datasets.dataset, name="dataset"),
    path("datasets/<uuid:dataset_id>/rows.jsonl", datasets.dataset_jsonl, name="dataset_jsonl"),
    path(
        "datasets/<uuid:dataset_id>/rows.parquet", datasets.dataset_parquet, name="dataset_parquet"
    ),
]
