"""Requests to /v1/fine_tuning/jobs, and builds as they stand in the middle of one."""

from django.core.files.uploadedfile import SimpleUploadedFile

from modelstation.testing import make_version
from training.models import EvaluationRun
from training.tests.planted_runs import end, make_job

JOBS = "/v1/fine_tuning/jobs"


def upload(api, name, content):
    form = {"file": SimpleUploadedFile(name, content), "purpose": "fine-tune"}
    return api.post("/v1/files", form, format="multipart").json()["id"]


def create(api, file, headers=None, **change):
    requested = {"model": "smollm2-135m-instruct", "training_file": file} | change
    requested = {key: value for key, value in requested.items() if value is not ...}
    return api.post(JOBS, requested, format="json", headers=headers)


def error_of(response, status):
    assert response.status_code == status, response.content
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["code"], error["param"]


def job_of(api, name):
    return api.get(f"{JOBS}/{name}").json()


def name_of(job):
    return f"ftjob-{job.id.hex}"


def hyper(**values):
    return {"type": "supervised", "supervised": {"hyperparameters": values}}


def root_of(run):
    return run.dataset_version.run.job


def evaluated(run, verdict="pass", job_state="succeeded", **version):
    """The run trained, and its version measured."""
    end(run.job, "succeeded")
    run.version = make_version(run.model, **version)
    run.facts = {"train_tokens": 512, "best_step": 4, "valid_losses": {"4": 1.25}}
    run.save()
    return EvaluationRun.objects.create(
        org=run.org,
        job=make_job(run.model, "evaluate", job_state),
        model=run.model,
        version=run.version,
        metric="exact_match",
        verdict=verdict,
    )
