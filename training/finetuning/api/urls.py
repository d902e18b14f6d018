from django.urls import path

from training.finetuning.api import files as openai_files
from training.finetuning.api import jobs as openai_jobs
from training.finetuning.api.models import ServedModelView

urlpatterns = [
    path("models/<path:name>", ServedModelView.as_view(), name="openai_model"),
    path("files", openai_files.FilesView.as_view(), name="openai_files"),
    path("files/<str:file_id>", openai_files.FileView.as_view(), name="openai_file"),
    path(
        "files/<str:file_id>/content",
        openai_files.FileContentView.as_view(),
        name="openai_file_content",
    ),
    path(
        "files/<str:file_id>/problems",
        openai_files.FileProblemsView.as_view(),
        name="openai_file_problems",
    ),
    path("fine_tuning/jobs", openai_jobs.JobsView.as_view(), name="openai_jobs"),
    path("fine_tuning/jobs/<str:job_id>", openai_jobs.JobView.as_view(), name="openai_job"),
    path(
        "fine_tuning/jobs/<str:job_id>/cancel",
        openai_jobs.JobCancelView.as_view(),
        name="openai_job_cancel",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/pause",
        openai_jobs.JobPauseView.as_view(),
        name="openai_job_pause",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/resume",
        openai_jobs.JobResumeView.as_view(),
        name="openai_job_resume",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/events",
        openai_jobs.JobEventsView.as_view(),
        name="openai_job_events",
    ),
    path(
        "fine_tuning/jobs/<str:job_id>/checkpoints",
        openai_jobs.JobCheckpointsView.as_view(),
        name="openai_job_checkpoints",
    ),
]
