"""Jobs, events and checkpoints, page by page; and OpenAI's own client."""

import openai
import pytest

from models_app.gateway.model_resolver import tuned_name
from modelstation import testing
from modelstation.core.models import JobEvent
from training.tests.finetuning.requests import (
    JOBS,
    create,
    error_of,
    evaluated,
    name_of,
)
from training.tests.finetuning.rows import chat_file
from training.tests.planted_runs import add_points, make_run

pytestmark = pytest.mark.django_db


def test_jobs_are_paged_newest_first_and_narrowed_by_metadata(api, file):
    names = [create(api, file, metadata={"n": str(i % 2)}).json()["id"] for i in range(3)]

    first = api.get(f"{JOBS}?limit=2").json()
    assert [row["id"] for row in first["data"]] == names[:0:-1]
    assert (first["has_more"], first["last_id"]) == (True, names[1])
    rest = api.get(f"{JOBS}?limit=2&after={names[1]}").json()
    assert ([row["id"] for row in rest["data"]], rest["has_more"]) == (names[:1], False)
    even = api.get(JOBS, {"metadata[n]": "0"}).json()
    assert [row["id"] for row in even["data"]] == [names[2], names[0]]
    assert api.get(JOBS, {"metadata[n]": "7"}).json()["data"] == []


@pytest.mark.parametrize("body", [[], "x", 7, [{"model": "tiny"}]])
def test_a_body_that_is_no_object_is_refused(api, body):
    assert error_of(api.post(JOBS, body, format="json"), 400)[0] == "invalid_value"


@pytest.mark.parametrize("query", ["metadata[%00]=1", "metadata[a]=%00"])
def test_metadata_that_cannot_be_is_refused(api, query):
    assert error_of(api.get(f"{JOBS}?{query}"), 400) == ("invalid_value", "metadata")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "after=ftjob-1"])
def test_a_list_that_cannot_be_is_refused_by_name(api, query):
    assert error_of(api.get(f"{JOBS}?{query}"), 400) == ("invalid_value", query.split("=")[0])


def test_a_list_requests_a_fixed_number_of_queries(api, org, file, django_assert_max_num_queries):
    for i in range(3):
        run = make_run(testing.make_model(org, name=f"Model {i}"))
        evaluated(run)
        create(api, file)
    with django_assert_max_num_queries(9):
        assert len(api.get(JOBS).json()["data"]) == 6


def test_events_are_reported_newest_first_with_ids_that_rise(api, trained):
    freeze, run = trained
    add_points(run, 3)
    JobEvent.emit(run.job_id, "log", "Going on.")
    JobEvent.emit(run.job_id, "error", "It broke.", operator_detail="Traceback")
    path = f"{JOBS}/{name_of(freeze)}/events"

    body = api.get(f"{path}?limit=3").json()

    error, log, metrics = body["data"]
    assert (error["level"], error["message"], error["type"]) == ("error", "It broke.", "message")
    assert "Traceback" not in str(body)
    assert (log["level"], log["object"]) == ("info", "fine_tuning.job.event")
    assert metrics["type"] == "metrics"
    assert metrics["data"]["step"] == 3
    assert metrics["data"]["train_loss"] == pytest.approx(4 / 3)
    assert body["has_more"] is True
    rest = api.get(f"{path}?after={body['last_id']}").json()
    ids = [event["id"] for event in body["data"] + rest["data"]]
    assert ids == sorted(ids, reverse=True)
    assert all(name.startswith("ftevent-") for name in ids)
    assert rest["data"][-1]["message"] == "Waiting for a worker."  # of the job that froze the rows
    for after in ("ftevent-1", "ftevent-0000000000000001", "x"):
        assert error_of(api.get(f"{path}?after={after}"), 400) == ("invalid_value", "after")


def test_checkpoints_are_the_best_and_those_that_were_kept(api, trained):
    freeze, run = trained
    add_points(run, 8)
    path = f"{JOBS}/{name_of(freeze)}/checkpoints"
    assert api.get(path).json()["data"] == []

    evaluated(run, artifacts={"gguf": {}, "adapter": {}, "ckpt-step-8": {}, "ckpt-step-6": {}})

    body = api.get(path).json()
    assert [row["step_number"] for row in body["data"]] == [8, 6, 4]
    last = body["data"][0]
    assert last["object"] == "fine_tuning.job.checkpoint"
    assert last["id"].startswith("ftckpt_")
    assert last["fine_tuning_job_id"] == name_of(freeze)
    assert last["fine_tuned_model_checkpoint"] == f"{tuned_name(run.version)}:ckpt-step-8"
    assert last["metrics"]["train_loss"] == pytest.approx(0.5)
    assert last["metrics"]["valid_loss"] == pytest.approx(5 / 8)
    rest = api.get(f"{path}?limit=1&after={last['id']}").json()
    assert ([row["step_number"] for row in rest["data"]], rest["has_more"]) == ([6], True)
    assert error_of(api.get(f"{path}?after=x"), 400) == ("invalid_value", "after")


# --- The client that everybody has ----------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_openai_client_understands_each_error_class(
    sdk, sdk_for, org, charlie, uploads_dir, artifacts_dir, base, monkeypatch
):
    file = sdk.files.create(file=chat_file(20), purpose="fine-tune")
    job = sdk.fine_tuning.jobs.create(
        model=base.name, training_file=file.id, metadata={"team": "a"}
    )
    assert [found.id for found in sdk.fine_tuning.jobs.list(limit=1)] == [job.id]
    assert [found.id for found in sdk.fine_tuning.jobs.list(metadata={"team": "a"})] == [job.id]
    assert not list(sdk.fine_tuning.jobs.list(metadata={"team": "b"}))
    assert sdk.fine_tuning.jobs.pause(job.id).status == "paused"
    assert sdk.fine_tuning.jobs.resume(job.id).status == "validating_files"
    with pytest.raises(openai.ConflictError) as conflict:
        sdk.with_options(max_retries=2).fine_tuning.jobs.resume(job.id)
    assert conflict.value.code == "not_paused"
    assert sdk.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.fine_tuning.jobs.create(model=base.name, training_file="file-none")
    assert refused.value.param == "training_file"
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=file.id)
    assert missing.value.code == "model_not_found"
    with (
        sdk_for(charlie, charlie.organizations.get()) as other,
        pytest.raises(openai.NotFoundError),
    ):
        other.fine_tuning.jobs.retrieve(job.id)
    with pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="wrong").fine_tuning.jobs.list()
    with pytest.raises(openai.PermissionDeniedError):
        sdk.models.delete(base.name)
    monkeypatch.setattr("training.finetuning.jobs.MOST_WAITING", 0)
    with pytest.raises(openai.RateLimitError):
        sdk.fine_tuning.jobs.create(model=base.name, training_file=file.id)
