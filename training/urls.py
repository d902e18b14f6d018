"""Pages of training runs and evaluations, under /o/<org>/."""

from django.urls import path

from training.evaluations import views
from training.export import views as export_views
from training.lineage import views as lineage_views
from training.plan import views as plan_views
from training.runs import views as run_views

urlpatterns = [
    path("models/<uuid:model_id>/lineage/", lineage_views.model_lineage, name="model_lineage"),
    path("models/<uuid:model_id>/training-plan/", plan_views.training_plan, name="training_plan"),
    path(
        "models/<uuid:model_id>/training-plan/save/",
        plan_views.training_plan_save,
        name="training_plan_save",
    ),
    path(
        "models/<uuid:model_id>/training-plan/start/",
        plan_views.training_plan_start,
        name="training_plan_start",
    ),
    path("versions/<uuid:version_id>/export/", export_views.version_export, name="version_export"),
    path(
        "versions/<uuid:version_id>/export/live/",
        export_views.version_export_live,
        name="version_export_live",
    ),
    path(
        "versions/<uuid:version_id>/export/start/",
        export_views.version_export_start,
        name="version_export_start",
    ),
    path("exports/<uuid:export_id>/delete/", export_views.export_delete, name="export_delete"),
    path("exports/<uuid:export_id>/push/", export_views.export_push, name="export_push"),
    path("runs/<uuid:run_id>/", run_views.run, name="run"),
    path("runs/<uuid:run_id>/live/", run_views.run_live, name="run_live"),
    path("runs/<uuid:run_id>/stream/", run_views.run_stream, name="run_stream"),
    path("runs/<uuid:run_id>/log/", run_views.run_log, name="run_log"),
    path("runs/<uuid:run_id>/log.txt", run_views.run_log_text, name="run_log_text"),
    path("runs/<uuid:run_id>/pause/", run_views.run_pause, name="run_pause"),
    path("runs/<uuid:run_id>/resume/", run_views.run_resume, name="run_resume"),
    path("runs/<uuid:run_id>/cancel/", run_views.run_cancel, name="run_cancel"),
    path("runs/<uuid:run_id>/requeue/", run_views.run_requeue, name="run_requeue"),
    path("evaluations/<uuid:evaluation_id>/", views.evaluation, name="evaluation"),
    path(
        "evaluations/<uuid:evaluation_id>/print/", views.evaluation_print, name="evaluation_print"
    ),
    path(
        "evaluations/<uuid:evaluation_id>/report.json",
        views.evaluation_report,
        name="evaluation_report",
    ),
    path("versions/<uuid:version_id>/evaluate/", views.version_evaluate, name="version_evaluate"),
]
