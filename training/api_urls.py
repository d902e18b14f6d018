from django.urls import include, path

from training.evaluations import api as evaluations
from training.export import api as exports
from training.lineage import api as lineage
from training.plan import api as plan
from training.runs import api as runs

of_model = [
    path("lineage", lineage.ModelLineageView.as_view(), name="api_model_lineage"),
    path("training-plan", plan.TrainingPlanView.as_view(), name="api_training_plan"),
    path(
        "training-plan/start", plan.TrainingPlanStartView.as_view(), name="api_training_plan_start"
    ),
]
of_version = [
    path("lineage", lineage.VersionLineageView.as_view(), name="api_version_lineage"),
    path("exports", exports.VersionExportsView.as_view(), name="api_version_exports"),
    path("exports/sizes", exports.ExportSizesView.as_view(), name="api_export_sizes"),
    path("evaluate", evaluations.VersionEvaluateView.as_view(), name="api_version_evaluate"),
]
of_run = [
    path("events", runs.RunEventsView.as_view(), name="api_run_events"),
    path("events/stream", runs.RunStreamView.as_view(), name="api_run_stream"),
    path("pause", runs.RunPauseView.as_view(), name="api_run_pause"),
    path("resume", runs.RunResumeView.as_view(), name="api_run_resume"),
    path("cancel", runs.RunCancelView.as_view(), name="api_run_cancel"),
    path("requeue", runs.RunRequeueView.as_view(), name="api_run_requeue"),
]
of_evaluation = [
    path("report", evaluations.EvaluationReportView.as_view(), name="api_evaluation_report"),
    path("rows", evaluations.EvaluationRowsView.as_view(), name="api_evaluation_rows"),
]
evaluation, pushes, download = (
    evaluations.EvaluationView.as_view(),
    exports.ExportPushesView.as_view(),
    exports.ExportDownloadView.as_view(),
)
urlpatterns = [
    path("models/<uuid:model_id>/", include(of_model)),
    path("versions/<uuid:version_id>/", include(of_version)),
    path("exports/<uuid:export_id>", exports.ExportView.as_view(), name="api_export"),
    path("exports/<uuid:export_id>/pushes", pushes, name="api_export_pushes"),
    path("downloads/<str:token>/<str:name>", download, name="api_export_download"),
    path("signing-key", exports.SigningKeyView.as_view(), name="api_signing_key"),
    path("runs", runs.RunsView.as_view(), name="api_runs"),
    path("runs/<uuid:run_id>", runs.RunView.as_view(), name="api_run"),
    path("runs/<uuid:run_id>/", include(of_run)),
    path("evaluations", evaluations.EvaluationsView.as_view(), name="api_evaluations"),
    path("evaluations/<uuid:evaluation_id>", evaluation, name="api_evaluation"),
    path("evaluations/<uuid:evaluation_id>/", include(of_evaluation)),
]
