from django.urls import path

from training.finetuning.api import files, jobs
from training.finetuning.api.models import ServedModelView

A_FILE, A_JOB = "files/<str:file_id>", "fine_tuning/jobs/<str:job_id>"

urlpatterns = [
    path("models/<path:name>", ServedModelView.as_view(), name="openai_model"),
    path("files", files.FilesView.as_view(), name="openai_files"),
    path(A_FILE, files.FileView.as_view(), name="openai_file"),
    path(f"{A_FILE}/content", files.FileContentView.as_view(), name="openai_file_content"),
    path(f"{A_FILE}/problems", files.FileProblemsView.as_view(), name="openai_file_problems"),
    path("fine_tuning/jobs", jobs.JobsView.as_view(), name="openai_jobs"),
    path(A_JOB, jobs.JobView.as_view(), name="openai_job"),
    path(f"{A_JOB}/cancel", jobs.JobCancelView.as_view(), name="openai_job_cancel"),
    path(f"{A_JOB}/pause", jobs.JobPauseView.as_view(), name="openai_job_pause"),
    path(f"{A_JOB}/resume", jobs.JobResumeView.as_view(), name="openai_job_resume"),
    path(f"{A_JOB}/events", jobs.JobEventsView.as_view(), name="openai_job_events"),
    path(f"{A_JOB}/checkpoints", jobs.JobCheckpointsView.as_view(), name="openai_job_checkpoints"),
]
