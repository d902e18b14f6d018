"""Tasks of training: one id in, the rest is in the job."""

from modelstation.core.jobs import jobs
from training.export import pushes as export_pushes
from training.export import runner as export_runner
from training.export import services as exports
from training.plan import profiling
from training.runs import runner


def run_freezing(job_id: str) -> None:
    from training.finetuning import freezing

    jobs.run_job(job_id, freezing.freeze)


def run_training(job_id: str) -> None:
    jobs.run_job(job_id, runner.train)


def run_evaluation(job_id: str) -> None:
    jobs.run_job(job_id, runner.evaluate)


def run_export(job_id: str) -> None:
    jobs.run_job(job_id, export_runner.run_export)


def run_export_push(job_id: str) -> None:
    jobs.run_job(job_id, export_pushes.push_export)


def clean_exports() -> int:
    """Scheduled daily: files of exports that have expired."""
    return exports.clean_expired()


def measure_machine() -> None:
    """Scheduled daily on the gpu queue: the plan's page needs to know before the first run."""
    profiling.ensure_measured()
