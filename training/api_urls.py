from django.urls import path

from training.evaluations import api as evaluations
from training.export import api as exports
from training.lineage import api as lineage
from training.plan import api as plan
from training.runs import api as views

urlpatterns = [
    path(
        "models/<uuid:model_id>/lineage",
        lineage.ModelLineageView.as_view(),
        name="api_model_lineage",
    ),
    path(
        "versions/<uuid:version_id>/lineage",
        lineage.VersionLineageView.as_view(),
        name="api_version_lineage",
    ),
    path(
        "models/<uuid:model_id>/training-plan",
        plan.TrainingPlanView.as_view(),
        name="api_training_plan",
    ),
    path(
        "models/<uuid:model_id>/training-plan/start",
        plan.TrainingPlanStartView.as_view(),
        name="api_training_plan_start",
    ),
    path(
        "versions/<uuid:version_id>/exports",
        exports.VersionExportsView.as_view(),
        name="api_version_exports",
    ),
    path(
        "versions/<uuid:version_id>/exports/sizes",
        exports.ExportSizesView.as_view(),
        name="api_export_sizes",
    ),
    path("exports/<uuid:export_id>", exports.ExportView.as_view(), name="api_export"),
    path(
        "exports/<uuid:export_id>/pushes",
        exports.ExportPushesView.as_view(),
        name="api_export_pushes",
    ),
    path(
        "downloads/<str:token>/<str:name>",
        exports.ExportDownloadView.as_view(),
        name="api_export_download",
    ),
    path("signing-key", exports.SigningKeyView.as_view(), name="api_signing_key"),
    path("runs", views.RunsView.as_view(), name="api_runs"),
    path("runs/<uuid:run_id>", views.RunView.as_view(), name="api_run"),
    path("runs/<uuid:run_id>/events", views.RunEventsView.as_view(), name="api_run_events"),
    path("runs/<uuid:run_id>/events/stream", views.RunStreamView.as_view(), name="api_run_stream"),
    path("runs/<uuid:run_id>/pause", views.RunPauseView.as_view(), name="api_run_pause"),
    path("runs/<uuid:run_id>/resume", views.RunResumeView.as_view(), name="api_run_resume"),
    path("runs/<uuid:run_id>/cancel", views.RunCancelView.as_view(), name="api_run_cancel"),
    path("runs/<uuid:run_id>/requeue", views.RunRequeueView.as_view(), name="api_run_requeue"),
    path("evaluations", evaluations.EvaluationsView.as_view(), name="api_evaluations"),
    path(
        "evaluations/<uuid:evaluation_id>",
        evaluations.EvaluationView.as_view(),
        name="api_evaluation",
    ),
    path(
        "evaluations/<uuid:evaluation_id>/report",
        evaluations.EvaluationReportView.as_view(),
        name="api_evaluation_report",
    ),
    path(
        "versions/<uuid:version_id>/evaluate",
        evaluations.VersionEvaluateView.as_view(),
        name="api_version_evaluate",
    ),
    path(
        "evaluations/<uuid:evaluation_id>/rows",
        evaluations.EvaluationRowsView.as_view(),
        name="api_evaluation_rows",
    ),
]
