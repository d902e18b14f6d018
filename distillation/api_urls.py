from django.urls import path

from distillation.corpus.api import SourceQualityView, SourcesView, SourceView
from distillation.corrections.api import CorrectionsView, CorrectionView
from distillation.curation import api as curation
from distillation.datasets import api as datasets
from distillation.datasets.lineage_api import DatasetLineageRowsView, DatasetLineageView
from distillation.hub import api as hub
from distillation.imports import api as imports
from distillation.labelling import api as labelling
from distillation.logs.api import LogsView
from distillation.model_data.api import ModelDataView
from distillation.organization.api import OrganizationView, StoredCompletionsView
from distillation.pushes.api import DatasetPushesView
from distillation.teachers import api as teachers

MODEL = "models/<uuid:model_id>"
CORRECTIONS = f"{MODEL}/corrections"
INPUTS = "models/<uuid:model_id>/inputs"
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
    "api_model_data": ("models/<uuid:model_id>/data", ModelDataView),
    "api_hub_searches": (f"{MODEL}/hub-searches", hub.HubSearchesView),
    "api_hub_search": (f"{MODEL}/hub-searches/<uuid:search_id>", hub.HubSearchView),
    "api_hub_imports": (f"{MODEL}/hub-imports", hub.HubImportsView),
    "api_hub_import": (f"{MODEL}/hub-imports/<uuid:hub_import_id>", hub.HubImportView),
    "api_model_logs": (f"{MODEL}/logs", LogsView),
    "api_stored_completions": ("organization/stored-completions", StoredCompletionsView),
    "api_inputs": (INPUTS, labelling.InputsView),
    "api_inputs_summary": (f"{INPUTS}/summary", labelling.InputsSummaryView),
    "api_inputs_take_over": (f"{INPUTS}/take-over", labelling.InputsTakeOverView),
    "api_input": (f"{INPUTS}/<uuid:input_id>", labelling.InputView),
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
