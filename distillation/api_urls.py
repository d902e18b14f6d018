from django.urls import path

from distillation.corpus.api import SourceQualityView, SourcesView, SourceView
from distillation.corrections.api import CorrectionsView, CorrectionView
from distillation.curation import api as curation
from distillation.datasets import api as datasets
from distillation.datasets.lineage_api import DatasetLineageRowsView, DatasetLineageView
from distillation.imports import api as imports
from distillation.organization.api import OrganizationView
from distillation.pushes.api import DatasetPushesView
from distillation.teachers import api as teachers

CORRECTIONS = "models/<uuid:model_id>/corrections"
TEACHER = "teachers/<uuid:teacher_id>"
TEACHER_RUNS = "models/<uuid:model_id>/teacher-runs"
TEACHER_RUN = f"{TEACHER_RUNS}/<uuid:teacher_run_id>"
SOURCE = "sources/<uuid:source_id>"
IMPORT = "imports/<uuid:import_id>"
DATASET = "datasets/<uuid:dataset_id>"
ROW = f"{DATASET}/rows/<int:row_id>"
VIEWS = {
    "api_organization": ("organization", OrganizationView),
    "api_corrections": (CORRECTIONS, CorrectionsView),
    "api_correction": (f"{CORRECTIONS}/<uuid:correction_id>", CorrectionView),
    "api_teachers": ("teachers", teachers.TeachersView),
    "api_teacher": (TEACHER, teachers.TeacherView),
    "api_teacher_test": (f"{TEACHER}/test", teachers.TeacherTestView),
    "api_teacher_runs": (TEACHER_RUNS, teachers.TeacherRunsView),
    "api_teacher_run": (TEACHER_RUN, teachers.TeacherRunView),
    "api_teacher_run_cancel": (f"{TEACHER_RUN}/cancel", teachers.TeacherRunCancelView),
    "api_teacher_run_go_on": (f"{TEACHER_RUN}/go-on", teachers.TeacherRunGoOnView),
    "api_sources": ("sources", SourcesView),
    "api_source": (SOURCE, SourceView),
    "api_source_quality": (f"{SOURCE}/quality", SourceQualityView),
    "api_imports": ("imports", imports.ImportsView),
    "api_import": (IMPORT, imports.ImportView),
    "api_import_confirm": (f"{IMPORT}/confirm", imports.ImportConfirmView),
    "api_import_cancel": (f"{IMPORT}/cancel", imports.ImportCancelView),
    "api_import_rejected": (f"{IMPORT}/rejected", imports.ImportRejectedView),
    "api_datasets": ("datasets", datasets.DatasetsView),
    "api_dataset": (DATASET, datasets.DatasetView),
    "api_dataset_rows": (f"{DATASET}/rows", datasets.DatasetRowsView),
    "api_dataset_lineage": (f"{DATASET}/lineage", DatasetLineageView),
    "api_dataset_lineage_rows": (f"{DATASET}/lineage/rows", DatasetLineageRowsView),
    "api_dataset_pushes": (f"{DATASET}/pushes", DatasetPushesView),
    "api_dataset_rows_decide": (f"{DATASET}/rows/decide", curation.RowsDecideView),
    "api_dataset_rows_answer": (f"{DATASET}/rows/answer", curation.RowsAnswerView),
    "api_dataset_row": (ROW, curation.DatasetRowView),
    "api_dataset_row_restore": (f"{ROW}/restore", curation.DatasetRowRestoreView),
    "api_dataset_draft": (f"{DATASET}/draft", curation.DatasetDraftView),
    "api_dataset_compare": (f"{DATASET}/compare/<uuid:other_id>", curation.DatasetCompareView),
    "api_dataset_export": (f"{DATASET}/export", datasets.DatasetExportView),
}

urlpatterns = [path(route, view.as_view(), name=name) for name, (route, view) in VIEWS.items()]
