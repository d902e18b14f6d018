"""Tasks of models: one id in, the rest is in the job."""

from modelstation.core.jobs import jobs


def run_fetch(job_id: str) -> None:
    from models_app.bases import fetching

    jobs.run_job(job_id, fetching.fetch)
