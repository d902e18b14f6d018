"""Pages of training runs and evaluations, under /o/<org>/."""

from django.urls import include, path

from training.evaluations import views as evaluations
from training.export import views as exports
from training.lineage.views import model_lineage
from training.plan import views as plans
from training.runs import views as runs

of_plan = [
    path("", plans.training_plan, name="training_plan"),
    path("save/", plans.training_plan_save, name="training_plan_save"),
    path("start/", plans.training_plan_start, name="training_plan_start"),
]
of_version = [
    path("export/", exports.version_export, name="version_export"),
    path("export/live/", exports.version_export_live, name="version_export_live"),
    path("export/start/", exports.version_export_start, name="version_export_start"),
    path("evaluate/", evaluations.version_evaluate, name="version_evaluate"),
]
of_run = [
    path("", runs.run, name="run"),
    path("live/", runs.run_live, name="run_live"),
    path("stream/", runs.run_stream, name="run_stream"),
    path("log/", runs.run_log, name="run_log"),
    path("log.txt", runs.run_log_text, name="run_log_text"),
    path("pause/", runs.run_pause, name="run_pause"),
    path("resume/", runs.run_resume, name="run_resume"),
    path("cancel/", runs.run_cancel, name="run_cancel"),
    path("requeue/", runs.run_requeue, name="run_requeue"),
]
of_evaluation = [
    path("", evaluations.evaluation, name="evaluation"),
    path("print/", evaluations.evaluation_print, name="evaluation_print"),
    path("report.json", evaluations.evaluation_report, name="evaluation_report"),
]
urlpatterns = [
    path("models/<uuid:model_id>/lineage/", model_lineage, name="model_lineage"),
    path("models/<uuid:model_id>/training-plan/", include(of_plan)),
    path("versions/<uuid:version_id>/", include(of_version)),
    path("exports/<uuid:export_id>/delete/", exports.export_delete, name="export_delete"),
    path("exports/<uuid:export_id>/push/", exports.export_push, name="export_push"),
    path("runs/<uuid:run_id>/", include(of_run)),
    path("evaluations/<uuid:evaluation_id>/", include(of_evaluation)),
]
