"""/v1/fine_tuning/jobs: strangers, the states of a build, actions."""

import pytest

from accounts.models import AuditEntry
from models_app.gateway.model_resolver import tuned_name
from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.models import Job, JobEvent
from training.finetuning.jobs import keep_results
from training.models import FineTuningRequest, UploadedFile
from training.tests.finetuning.requests import (
    JOBS,
    create,
    error_of,
    evaluated,
    job_of,
    name_of,
    root_of,
)
from training.tests.planted_runs import add_points, end, make_job, make_run

pytestmark = pytest.mark.django_db


# --- Strangers first ------------------------------------------------------------------------------


def test_a_strangers_job_is_not_there(api, stranger, file):
    name = create(api, file).json()["id"]

    for path in ("", "/events", "/checkpoints"):
        assert error_of(stranger.get(f"{JOBS}/{name}{path}"), 404) == ("not_found", "job_id")
    for action in ("cancel", "pause", "resume"):
        assert error_of(stranger.post(f"{JOBS}/{name}/{action}"), 404) == ("not_found", "job_id")
    assert stranger.get(JOBS).json()["data"] == []
    assert error_of(stranger.get(f"{JOBS}?after={name}"), 400) == ("invalid_value", "after")
    assert Job.objects.get(kind="freeze").state == "queued"


def test_a_strangers_file_is_none_that_one_could_train_on(stranger, file):
    assert error_of(create(stranger, file), 400) == ("invalid_value", "training_file")
    assert not FineTuningRequest.objects.exists()


@pytest.mark.parametrize("name", ["x", "ftjob-", "ftjob-1", f"ftjob-{'0' * 32}"])
def test_what_is_no_id_of_a_job_is_not_found(api, name):
    assert error_of(api.get(f"{JOBS}/{name}"), 404)[0] == "not_found"


# --- How a build is shown -------------------------------------------------------------------------


def test_a_build_of_the_web_app_keeps_its_id_from_the_first_stage_to_the_last(api, org):
    model = testing.make_model(org)
    distil = make_job(model, "distil", stage="retrieve")
    name = name_of(distil)
    assert (job_of(api, name)["status"], job_of(api, name)["modelstation"]["stage"]) == (
        "validating_files",
        "retrieve",
    )
    assert job_of(api, name)["training_file"] is None

    end(distil, "succeeded")
    training = make_job(model, "train", "queued")
    assert job_of(api, name)["status"] == "queued"
    assert job_of(api, name)["modelstation"]["stage"] == "waiting"
    assert error_of(api.get(f"{JOBS}/{name_of(training)}"), 404)[0] == "not_found"
    assert [row["id"] for row in api.get(JOBS).json()["data"]] == [name]


@pytest.mark.parametrize(
    ("stage", "shown"),
    [("load", "training"), ("train", "training"), ("merge", "exporting"), ("export", "exporting")],
)
def test_a_training_runs_and_its_stage_is_reported(api, org, stage, shown):
    run = make_run(testing.make_model(org), stage=stage, progress={"eta_seconds": 60})

    body = job_of(api, name_of(root_of(run)))

    assert body["status"] == "running"
    assert body["modelstation"]["stage"] == shown
    assert body["estimated_finish"] > body["created_at"]
    assert body["training_file"] == f"file-{run.dataset_version_id.hex}"


def test_a_model_made_by_our_own_api_is_a_job_at_once(api, org):
    requested = {
        "name": "Router",
        "requirement": testing.REQUIREMENT,
        "base": "smollm2-135m-instruct",
    }
    made = api.post("/api/v1/models", requested, format="json")
    assert made.status_code == 201, made.content

    [job] = api.get(JOBS).json()["data"]

    assert job["modelstation"]["model_id"] == made.json()["id"]
    assert (job["status"], job["metadata"]) == ("validating_files", {})
    assert api.post(f"{JOBS}/{job['id']}/cancel").json()["status"] == "cancelled"
    assert api.get(f"/api/v1/models/{made.json()['id']}").json()["status"] == "cancelled"


def test_a_job_made_here_is_a_model_and_a_run_over_there(api, trained):
    freeze, run = trained

    [model] = api.get("/api/v1/models").json()["results"]
    [shown] = api.get("/api/v1/runs").json()["results"]

    assert model["id"] == job_of(api, name_of(freeze))["modelstation"]["model_id"]
    assert shown["id"] == job_of(api, name_of(freeze))["modelstation"]["run_id"] == str(run.id)


def test_a_second_training_on_the_same_rows_is_a_job_of_its_own(api, org):
    run = make_run(testing.make_model(org))
    end(run.job, "cancelled")
    again = make_job(run.model, "train", "queued")

    assert [row["id"] for row in api.get(JOBS).json()["data"]] == [
        name_of(again),
        name_of(root_of(run)),
    ]
    assert job_of(api, name_of(root_of(run)))["status"] == "cancelled"
    assert job_of(api, name_of(again))["status"] == "queued"


def test_what_was_measured_and_passed_succeeded(api, org):
    run = make_run(testing.make_model(org))
    evaluated(run, state="ready")

    body = job_of(api, name_of(root_of(run)))

    assert body["status"] == "succeeded"
    assert body["fine_tuned_model"] == tuned_name(run.version)
    assert body["trained_tokens"] == 512
    assert body["modelstation"]["evaluation"]["verdict"] == "pass"


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_a_requirement_that_was_not_met_failed_with_its_reason(api, org, verdict):
    run = make_run(testing.make_model(org, status="failed", status_reason="Only 3 of 10."))
    evaluated(run, verdict)

    body = job_of(api, name_of(root_of(run)))

    assert (body["status"], body["fine_tuned_model"]) == ("failed", None)
    assert body["error"] == {"code": "criteria_not_met", "message": "Only 3 of 10.", "param": None}


def test_a_persons_word_makes_a_success_of_it(api, org):
    run = make_run(testing.make_model(org))
    evaluated(run, "inconclusive")
    assert job_of(api, name_of(root_of(run)))["status"] == "failed"

    CustomModel.objects.update(live_version=run.version)

    assert job_of(api, name_of(root_of(run)))["status"] == "succeeded"


def test_a_build_that_failed_stays_so_when_its_version_is_deleted(api, org):
    run = make_run(testing.make_model(org, status="failed", status_reason="Only 3 of 10."))
    evaluated(run, "fail")

    assert api.delete("/v1/models/bank-intents:v1").status_code == 200

    body = job_of(api, name_of(root_of(run)))
    assert (body["status"], body["error"]["code"]) == ("failed", "criteria_not_met")
    assert body["fine_tuned_model"] is None


def test_curves_that_cannot_be_written_undo_no_training(org, monkeypatch):
    run = make_run(testing.make_model(org))

    def no_room(**kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("training.finetuning.jobs.write_results", no_room)
    keep_results(run)

    assert not UploadedFile.objects.exists()


def test_curves_are_a_file_with_a_line_for_each_step(api, org):
    run = make_run(testing.make_model(org))
    add_points(run, 3)
    JobEvent.emit(run.job_id, "metrics", data={"step": 2, "loss": 9, "train_accuracy": 0.5})

    keep_results(run)

    [name] = job_of(api, name_of(root_of(run)))["result_files"]
    content = b"".join(api.get(f"/v1/files/{name}/content").streaming_content).decode()
    assert content.splitlines() == [
        "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy",
        "1,4,,,",
        "2,9,0.5,2.5,",  # a step that was taken again counts as it was measured last
        "3,1.33333,,,",
    ]


def test_a_version_that_is_measured_again_changes_nothing_of_its_build(api, org):
    run = make_run(testing.make_model(org))
    evaluated(run, state="ready")
    make_job(run.model, "evaluate")

    body = job_of(api, name_of(root_of(run)))

    assert (body["status"], body["modelstation"]["evaluation"]["verdict"]) == ("succeeded", "pass")


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_a_file_without_criteria_succeeds_when_trained_and_the_verdict_is_reported(
    api, trained, verdict
):
    freeze, run = trained
    evaluated(run, verdict)

    body = job_of(api, name_of(freeze))

    assert (body["status"], body["error"]) == ("succeeded", None)
    assert body["fine_tuned_model"] == tuned_name(run.version)
    assert body["modelstation"]["evaluation"]["verdict"] == verdict


def test_written_criteria_count_for_a_file_too(api, trained):
    freeze, run = trained
    CustomModel.objects.update(success_criteria=["Exact match of at least 99%"])
    evaluated(run, "fail")

    assert job_of(api, name_of(freeze))["error"]["code"] == "criteria_not_met"


def test_an_evaluation_that_broke_takes_nothing_from_a_trained_file(api, trained):
    freeze, run = trained
    evaluated(run, "", job_state="failed")

    body = job_of(api, name_of(freeze))

    assert body["status"] == "succeeded"
    assert body["modelstation"]["evaluation"]["verdict"] is None


def test_a_job_that_broke_shows_code_sentence_and_parameter(api, file, trained):
    freeze, run = trained
    end(run.job, "failed", error_code="diverged", error_text="The loss is no number.")

    error = job_of(api, name_of(freeze))["error"]

    assert error == {"code": "diverged", "message": "The loss is no number.", "param": None}
    other = create(api, file).json()["id"]
    end(Job.objects.get(kind="freeze", state="queued"), "failed", error_code="no_file")
    assert job_of(api, other)["error"]["param"] == "training_file"


def test_hyperparameters_are_numbers_once_they_are_settled(api, trained):
    freeze, run = trained
    run.plan = {"steps": 20, "config": {"epochs": 4.0}}
    run.dataset_version.split_counts = {"train": 30}
    run.dataset_version.save()
    run.save()
    FineTuningRequest.objects.update(hyperparameters={"learning_rate_multiplier": 2})

    assert job_of(api, name_of(freeze))["hyperparameters"] == {
        "n_epochs": 4,
        "batch_size": 6,
        "learning_rate_multiplier": 2,
    }


# --- Deeds ----------------------------------------------------------------------------------------


def test_cancel_ends_a_job_that_waits_and_its_model(api, alice, file):
    name = create(api, file).json()["id"]

    body = api.post(f"{JOBS}/{name}/cancel").json()

    assert body["status"] == "cancelled"
    assert body["finished_at"]
    assert CustomModel.objects.get().status == "cancelled"
    assert AuditEntry.objects.get(action="fine_tuning.cancel").actor == alice
    again = api.post(f"{JOBS}/{name}/cancel")
    assert error_of(again, 409) == ("not_building", None)
    assert again["x-should-retry"] == "false"


def test_pause_and_resume(api, file):
    name = create(api, file).json()["id"]

    assert api.post(f"{JOBS}/{name}/pause").json()["status"] == "paused"
    assert error_of(api.post(f"{JOBS}/{name}/pause"), 409)[0] == "not_pausable"
    assert api.post(f"{JOBS}/{name}/resume").json()["status"] == "validating_files"
    assert error_of(api.post(f"{JOBS}/{name}/resume"), 409)[0] == "not_paused"


def test_deeds_reach_the_job_that_is_at_work(api, trained):
    freeze, run = trained

    assert api.post(f"{JOBS}/{name_of(freeze)}/pause").json()["status"] == "running"

    run.job.refresh_from_db()
    assert run.job.pause_requested_at
    api.post(f"{JOBS}/{name_of(freeze)}/cancel")
    run.job.refresh_from_db()
    assert run.job.cancel_requested_at
