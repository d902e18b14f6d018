"""Pages of data, under /o/<org>/."""

from django.urls import path

from distillation.corpus import quality_views as quality
from distillation.corpus import views as sources
from distillation.corrections import views as corrections
from distillation.curation import views as curation
from distillation.datasets import compare_views as compare
from distillation.datasets import lineage_views as lineage
from distillation.datasets import views as datasets
from distillation.hub import views as hub
from distillation.imports import views as imports
from distillation.labelling import views as labelling
from distillation.logs import views as logs
from distillation.model_data import views as model_data
from distillation.organization import views as organization
from distillation.pushes import views as pushes
from distillation.teachers import views as teachers

DATASET = "datasets/<uuid:dataset_id>"
MODEL = "models/<uuid:model_id>"
DATA = f"{MODEL}/data"
CORRECTIONS = f"{MODEL}/corrections"
LABEL = "models/<uuid:model_id>/label"
TEACHER = "settings/teachers/<uuid:teacher_id>"
TEACHING = "models/<uuid:model_id>/teacher"
TEACHER_RUN = f"{TEACHING}/<uuid:teacher_run_id>"

urlpatterns = [
    path("settings/", organization.org_settings, name="org_settings"),
    path("settings/licenses/", organization.license_policy, name="license_policy"),
    path("settings/licenses/preview/", organization.license_preview, name="license_preview"),
    path("settings/hub-token/", organization.hub_token, name="hub_token"),
    path("settings/hub-token/clear/", organization.hub_token_clear, name="hub_token_clear"),
    path("settings/hub-search/", organization.hub_search_policy, name="hub_search_policy"),
    path("settings/teachers/", teachers.teachers, name="teachers"),
    path(f"{TEACHER}/", teachers.teacher, name="teacher"),
    path(f"{TEACHER}/test/", teachers.teacher_test, name="teacher_test"),
    path(f"{TEACHER}/delete/", teachers.teacher_delete, name="teacher_delete"),
    path(f"{TEACHING}/", teachers.teacher_runs, name="model_teacher"),
    path(f"{TEACHER_RUN}/", teachers.teacher_run, name="teacher_run"),
    path(f"{TEACHER_RUN}/live/", teachers.teacher_run_live, name="teacher_run_live"),
    path(f"{TEACHER_RUN}/cancel/", teachers.teacher_run_cancel, name="teacher_run_cancel"),
    path(f"{TEACHER_RUN}/go-on/", teachers.teacher_run_go_on, name="teacher_run_go_on"),
    path(f"{CORRECTIONS}/", corrections.corrections, name="corrections"),
    path(f"{CORRECTIONS}/new/", corrections.correct, name="correction_new"),
    path(f"{CORRECTIONS}/<uuid:correction_id>/", corrections.correction, name="correction"),
    path(f"{DATA}/", model_data.model_data, name="model_data"),
    path(f"{DATA}/rows/", model_data.model_data_rows, name="model_data_rows"),
    path(f"{DATA}/corpus/", model_data.model_data_corpus, name="model_data_corpus"),
    path(f"{DATA}/doubtful/", model_data.model_data_doubtful, name="model_data_doubtful"),
    path(
        f"{DATA}/sources/<uuid:source_id>/",
        model_data.model_data_source,
        name="model_data_source",
    ),
    path(f"{MODEL}/hub/", hub.model_hub, name="model_hub"),
    path(f"{MODEL}/hub/search/", hub.model_hub_search, name="model_hub_search"),
    path(f"{MODEL}/hub/import/", hub.model_hub_import, name="model_hub_import"),
    path(f"{MODEL}/logs/", logs.model_logs, name="model_logs"),
    path(f"{MODEL}/logs/use/", logs.model_logs_use, name="model_logs_use"),
    path("settings/storing/", organization.storing, name="storing"),
    path("settings/storing/delete/", organization.storing_delete, name="storing_delete"),
    path("gallery/", sources.gallery_page, name="gallery"),
    path(f"{LABEL}/", labelling.labelling, name="labelling"),
    path(f"{LABEL}/add/", labelling.labelling_add, name="labelling_add"),
    path(f"{LABEL}/answer/", labelling.labelling_answer, name="labelling_answer"),
    path(f"{LABEL}/undo/", labelling.labelling_undo, name="labelling_undo"),
    path(f"{LABEL}/take-over/", labelling.labelling_take_over, name="labelling_take_over"),
    path("sources/", sources.sources, name="sources"),
    path("sources/new/", imports.source_new, name="source_new"),
    path("sources/<uuid:source_id>/", sources.source, name="source"),
    path("sources/<uuid:source_id>/delete/", sources.source_delete, name="source_delete"),
    path("sources/<uuid:source_id>/quality/", quality.quality, name="source_quality"),
    path("imports/<uuid:import_id>/", imports.import_page, name="import"),
    path("imports/<uuid:import_id>/live/", imports.import_live, name="import_live"),
    path("imports/<uuid:import_id>/preview/", imports.import_preview, name="import_preview"),
    path("imports/<uuid:import_id>/confirm/", imports.import_confirm, name="import_confirm"),
    path("imports/<uuid:import_id>/cancel/", imports.import_cancel, name="import_cancel"),
    path("imports/<uuid:import_id>/rejected/", imports.import_rejected, name="import_rejected"),
    path(f"{DATASET}/", datasets.dataset, name="dataset"),
    path(f"{DATASET}/rows/", curation.dataset_rows, name="dataset_rows"),
    path(f"{DATASET}/rows/<int:row_id>/", curation.dataset_row, name="dataset_row"),
    path(f"{DATASET}/draft/", curation.dataset_draft, name="dataset_draft"),
    path(f"{DATASET}/discard/", curation.dataset_discard, name="dataset_discard"),
    path(f"{DATASET}/compare/<uuid:other_id>/", compare.dataset_compare, name="dataset_compare"),
    path(f"{DATASET}/rows.jsonl", datasets.dataset_jsonl, name="dataset_jsonl"),
    path(f"{DATASET}/lineage/", lineage.dataset_lineage, name="dataset_lineage"),
    path(f"{DATASET}/pushes/", pushes.pushes, name="dataset_pushes"),
    path(f"{DATASET}/push/", pushes.push, name="dataset_push"),
    path(f"{DATASET}/README.md", datasets.dataset_card, name="dataset_card"),
    path(f"{DATASET}/rows.parquet", datasets.dataset_parquet, name="dataset_parquet"),
]
