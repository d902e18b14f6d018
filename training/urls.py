"""Pages of training runs and evaluations, under /o/<org>/."""

from django.urls import path

from training import lineage_views, plan_views, views

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
    path("runs/<uuid:run_id>/", views.run, name="run"),
    path("runs/<uuid:run_id>/live/", views.run_live, name="run_live"),
    path("runs/<uuid:run_id>/cancel/", views.run_cancel, name="run_cancel"),
    path("evaluations/<uuid:evaluation_id>/", views.evaluation, name="evaluation"),
]
