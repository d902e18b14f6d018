from django.urls import path

from distillation.corpus import api as sources
from distillation.corrections import api as corrections
from distillation.curation import api as curation
from distillation.datasets import api as datasets
from distillation.datasets import lineage_api as lineage
from distillation.imports import api as imports
from distillation.organization import api as organization
from distillation.pushes import api as pushes

urlpatterns = [
    path("organization", organization.OrganizationView.as_view(), name="api_organization"),
    path(
        "models/<uuid:model_id>/corrections",
        corrections.CorrectionsView.as_view(),
        name="api_corrections",
    ),
    path(
        "models/<uuid:model_id>/corrections/<uuid:correction_id>",
        corrections.CorrectionView.as_view(),
        name="api_correction",
    ),
    path("sources", sources.SourcesView.as_view(), name="api_sources"),
    path("sources/<uuid:source_id>", sources.SourceView.as_view(), name="api_source"),
    path(
        "sources/<uuid:source_id>/quality",
        sources.SourceQualityView.as_view(),
        name="api_source_quality",
    ),
    path("imports", imports.ImportsView.as_view(), name="api_imports"),
    path("imports/<uuid:import_id>", imports.ImportView.as_view(), name="api_import"),
    path(
        "imports/<uuid:import_id>/confirm",
        imports.ImportConfirmView.as_view(),
        name="api_import_confirm",
    ),
    path(
        "imports/<uuid:import_id>/cancel",
        imports.ImportCancelView.as_view(),
        name="api_import_cancel",
    ),
    path(
        "imports/<uuid:import_id>/rejected",
        imports.ImportRejectedView.as_view(),
        name="api_import_rejected",
    ),
    path("datasets", datasets.DatasetsView.as_view(), name="api_datasets"),
    path("datasets/<uuid:dataset_id>", datasets.DatasetView.as_view(), name="api_dataset"),
    path(
        "datasets/<uuid:dataset_id>/rows",
        datasets.DatasetRowsView.as_view(),
        name="api_dataset_rows",
    ),
    path(
        "datasets/<uuid:dataset_id>/lineage",
        lineage.DatasetLineageView.as_view(),
        name="api_dataset_lineage",
    ),
    path(
        "datasets/<uuid:dataset_id>/lineage/rows",
        lineage.DatasetLineageRowsView.as_view(),
        name="api_dataset_lineage_rows",
    ),
    path(
        "datasets/<uuid:dataset_id>/pushes",
        pushes.DatasetPushesView.as_view(),
        name="api_dataset_pushes",
    ),
    path(
        "datasets/<uuid:dataset_id>/rows/decide",
        curation.RowsDecideView.as_view(),
        name="api_dataset_rows_decide",
    ),
    path(
        "datasets/<uuid:dataset_id>/rows/answer",
        curation.RowsAnswerView.as_view(),
        name="api_dataset_rows_answer",
    ),
    path(
        "datasets/<uuid:dataset_id>/rows/<int:row_id>",
        curation.DatasetRowView.as_view(),
        name="api_dataset_row",
    ),
    path(
        "datasets/<uuid:dataset_id>/rows/<int:row_id>/restore",
        curation.DatasetRowRestoreView.as_view(),
        name="api_dataset_row_restore",
    ),
    path(
        "datasets/<uuid:dataset_id>/draft",
        curation.DatasetDraftView.as_view(),
        name="api_dataset_draft",
    ),
    path(
        "datasets/<uuid:dataset_id>/compare/<uuid:other_id>",
        curation.DatasetCompareView.as_view(),
        name="api_dataset_compare",
    ),
    path(
        "datasets/<uuid:dataset_id>/export",
        datasets.DatasetExportView.as_view(),
        name="api_dataset_export",
    ),
]
