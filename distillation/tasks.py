"""Tasks of data: one id in, the rest is in the job."""

from distillation import import_runner, pushes, runner
from modelstation.core import jobs


def run_distillation(job_id: str) -> None:
    jobs.run_job(job_id, runner.distil)


def run_push(job_id: str) -> None:
    jobs.run_job(job_id, pushes.push_dataset)


def run_import(job_id: str) -> None:
    jobs.run_job(job_id, import_runner.load_upload)
