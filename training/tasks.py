"""Tasks of the gpu queue: one id in, the rest is in the job."""

from modelstation.core import jobs
from training import runner


def run_training(job_id: str) -> None:
    jobs.run_job(job_id, runner.train)


def run_evaluation(job_id: str) -> None:
    jobs.run_job(job_id, runner.evaluate)
