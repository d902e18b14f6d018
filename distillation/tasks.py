"""Tasks of data: one id in, the rest is in the job.

Each imports what it runs when it runs: a worker that only imports never loads what selects.
"""

from modelstation.core.jobs import jobs


def run_distillation(job_id: str) -> None:
    from distillation import runner

    jobs.run_job(job_id, runner.distil)


def run_import(job_id: str) -> None:
    from distillation.imports import runner as import_runner

    jobs.run_job(job_id, import_runner.load_upload)


def run_log_rows(job_id: str) -> None:
    from distillation.logs import services as logs

    jobs.run_job(job_id, logs.load_logs)


def run_hub_search(job_id: str) -> None:
    from distillation.hub import runner as hub

    jobs.run_job(job_id, hub.search)


def run_hub_import(job_id: str) -> None:
    from distillation.hub import runner as hub

    jobs.run_job(job_id, hub.load)


def run_push(job_id: str) -> None:
    from distillation.pushes import services as pushes

    jobs.run_job(job_id, pushes.push_dataset)


def run_labelling(job_id: str) -> None:
    from distillation.labelling import runner as labelling_runner

    jobs.run_job(job_id, labelling_runner.label)


def run_teaching(job_id: str) -> None:
    from distillation.teachers import runner as teachers

    jobs.run_job(job_id, teachers.teach)
