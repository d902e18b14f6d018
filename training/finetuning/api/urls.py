from django.urls import path

from training.finetuning.api import files, jobs
from training.finetuning.api.models import ServedModelView

urlpatterns = [
    path("models/<path:name>", ServedModelView.as_view(), name="openai_model"),
    path("files", files.FilesView.as_view(), name="openai_files"),
    path("files/<str:file_id>", files.FileView.as_view(), name="openai_file"),
    path(
        "files/<str:file_id>/content",
        files.FileContentView.as_view(),
        name="openai_file_content",
    ),
    path(
        "files/<str:file_id>/problems",
        files.FileProblemsView.as_view(),
        name="openai_file_problems",
    ),
    path("fine_tuning/jobs", jobs.JobsView.as_view(), name="openai_jobs"),
    path("fine_tuning/jobs/<str:job_id>", jobs.JobView.as_view(), name="openai_job"),
    path(
        "fine_tuning/jobs/<str:job_id>/cancel",
        jobs.JobCancelView.as_view(),
        name="openai_job_cancel",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/pause",
        jobs.JobPauseView.as_view(),
        name="openai_job_pause",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/resume",
        jobs.JobResumeView.as_view(),
        name="openai_job_resume",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/events",
        jobs.JobEventsView.as_view(),
        name="openai_job_events",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/checkpoints",
        jobs.JobCheckpointsView.as_view(),
        name="openai_job_checkpoints",
    ),
]
