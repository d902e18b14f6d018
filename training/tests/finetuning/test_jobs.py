"""/v1/fine_tuning/jobs: strangers, what may be requested, how a build is shown, actions and
pages.
"""

import openai
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import AuditEntry
from models_app.gateway.model_resolver import tuned_name
from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.models import Job, JobEvent
from modelstation.testing import make_version
from training.finetuning.jobs import keep_results
from training.models import EvaluationRun, FineTuningRequest, UploadedFile
from training.tests.finetuning.rows import chat_file, chat_row, jsonl
from training.tests.planted_runs import add_points, end, make_job, make_run

pytestmark = pytest.mark.django_db
JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
def base(db, settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "none"  # what it would take is guessed
    return testing.make_base()


@pytest.fixture
def api(api_for, alice, uploads_dir, artifacts_dir, base):
    return api_for(alice)


@pytest.fixture
def file(api):
    return upload(api, *chat_file(20))


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


# --- What may be requested ------------------------------------------------------------------------


def test_a_job_is_a_model_of_its_own_and_waits_to_be_read(api, alice, org, file):
    body = create(api, file, suffix="My Router", seed=3, metadata={"team": "a"}).json()

    model = CustomModel.objects.get()
    assert (model.name, model.slug, model.created_by) == ("My Router", "my-router", alice)
    assert model.base_id == "smollm2-135m-instruct"
    assert model.intent_edits == {"task_kind": "classify"}
    job = Job.objects.get()
    assert (job.kind, job.queue, job.subject_id) == ("freeze", "distil", model.id)
    assert body["id"] == name_of(job)
    assert body["object"] == "fine_tuning.job"
    assert body["status"] == "validating_files"
    assert body["organization_id"] == "acme"
    assert (body["training_file"], body["validation_file"]) == (file, None)
    assert (body["seed"], body["metadata"]) == (3, {"team": "a"})
    assert body["user_provided_suffix"] == "My Router"
    auto = dict.fromkeys(("n_epochs", "batch_size", "learning_rate_multiplier"), "auto")
    assert body["hyperparameters"] == auto
    assert body["method"]["supervised"]["hyperparameters"] == auto
    empty = ("fine_tuned_model", "finished_at", "estimated_finish", "trained_tokens", "error")
    assert all(body[name] is None for name in empty)
    assert (body["result_files"], body["integrations"]) == ([], [])
    assert body["modelstation"]["stage"] == "freezing"
    assert body["modelstation"]["model_id"] == str(model.id)
    assert AuditEntry.objects.get(action="fine_tuning.create").actor == alice
    assert job_of(api, body["id"]) == body


def test_a_suffix_that_is_taken_makes_another_name(api, file):
    first, again = (create(api, file, suffix="router").json() for _ in range(2))

    assert first["modelstation"]["model"] == "router"
    assert again["modelstation"]["model"] == "router-2"


def test_without_a_suffix_the_file_gives_the_name_and_a_seed_is_drawn(api, file):
    body = create(api, file, suffix=None, seed=None).json()

    assert body["modelstation"]["model"] == "tickets"
    assert body["seed"] >= 0
    assert body["user_provided_suffix"] is None


def test_hyperparameters_are_taken_in_both_ways(api, file):
    for given in (
        {"method": hyper(n_epochs=2, batch_size="auto", learning_rate_multiplier=0.5)},
        {"hyperparameters": {"n_epochs": 2, "learning_rate_multiplier": 0.5}},
    ):
        found = create(api, file, **given).json()["hyperparameters"]
        assert found == {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": 0.5}


NESTED = "method.supervised.hyperparameters"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"model": ...}, "missing_required_parameter", "model"),
        ({"training_file": ...}, "missing_required_parameter", "training_file"),
        ({"training_file": None}, "missing_required_parameter", "training_file"),
        ({"training_file": "file-1"}, "invalid_value", "training_file"),
        ({"validation_file": "file-1"}, "invalid_value", "validation_file"),
        ({"suffix": "x" * 65}, "invalid_value", "suffix"),
        ({"seed": -1}, "invalid_value", "seed"),
        ({"seed": 2**32}, "invalid_value", "seed"),
        ({"metadata": {str(i): "" for i in range(17)}}, "invalid_value", "metadata"),
        ({"metadata": {"k" * 65: ""}}, "invalid_value", "metadata"),
        ({"metadata": {"k": "v" * 513}}, "invalid_value", "metadata.k"),
        ({"metadata": "x"}, "invalid_value", "metadata"),
        ({"method": {"type": "dpo"}}, "unsupported_value", "method.type"),
        ({"method": {"type": "magic"}}, "invalid_value", "method.type"),
        ({"method": {}}, "missing_required_parameter", "method.type"),
        ({"method": hyper(n_epochs=0)}, "invalid_value", f"{NESTED}.n_epochs"),
        ({"method": hyper(n_epochs=1.5)}, "invalid_value", f"{NESTED}.n_epochs"),
        ({"method": hyper(n_epochs=True)}, "invalid_value", f"{NESTED}.n_epochs"),
        ({"method": hyper(batch_size=33)}, "invalid_value", f"{NESTED}.batch_size"),
        ({"method": hyper(beta=0.1)}, "unknown_parameter", f"{NESTED}.beta"),
        ({"hyperparameters": {"n_epochs": "many"}}, "invalid_value", "hyperparameters.n_epochs"),
        (
            {"hyperparameters": {"n_epochs": 1}, "method": hyper(n_epochs=2)},
            "invalid_value",
            "hyperparameters",
        ),
        ({"integrations": [{"type": "wandb"}]}, "unsupported_value", "integrations"),
        ({"colour": "red"}, "unknown_parameter", "colour"),
    ],
)
def test_what_is_requested_wrongly_is_named(api, file, change, code, param):
    assert error_of(create(api, file, **change), 400) == (code, param)
    assert not Job.objects.exists()


def test_a_base_that_is_not_there_is_a_model_that_is_not_found(api, file):
    testing.make_base("absent", is_installed=False)
    for name in ("gpt-4o-mini", "absent"):
        assert error_of(create(api, file, model=name), 404) == ("model_not_found", "model")


def test_a_tuned_model_is_not_trained_further(api, org, file):
    version = make_version(testing.make_model(org))

    code = error_of(create(api, file, model=tuned_name(version)), 400)

    assert code == ("unsupported_value", "model")


def test_a_file_with_a_bad_row_makes_no_job_and_shows_the_first_problems(api):
    rows = [chat_row(i) for i in range(20)] + [{"messages": []}]
    file = upload(api, "bad.jsonl", jsonl(rows))

    response = create(api, file)

    assert error_of(response, 400) == ("invalid_file", "training_file")
    assert "Line 21, field messages" in response.json()["error"]["message"]
    assert error_of(create(api, upload(api, *chat_file(12)), validation_file=file), 400) == (
        "invalid_file",
        "validation_file",
    )
    assert not CustomModel.objects.exists()


def test_a_file_of_too_few_rows_is_refused(api):
    file = upload(api, *chat_file(9))

    assert error_of(create(api, file), 400) == ("not_enough_data", "training_file")


def test_a_file_cannot_validate_itself(api, file):
    again = upload(api, *chat_file(20))

    for name in (file, again):
        refused = create(api, file, validation_file=name)
        assert error_of(refused, 400) == ("invalid_value", "validation_file")


def test_the_frozen_rows_of_a_model_are_not_trained_on_as_ones_own(api, org, artifacts_dir):
    dataset = make_run(testing.make_model(org)).dataset_version

    response = create(api, f"file-{dataset.id.hex}")

    assert error_of(response, 400) == ("invalid_value", "training_file")


def test_results_are_nothing_to_train_on(api, org, file):
    UploadedFile.objects.update(purpose="fine-tune-results")

    assert error_of(create(api, file), 400) == ("invalid_value", "training_file")


def test_what_will_not_fit_is_refused_before_it_is_queued(api, file, monkeypatch):
    from modelstation.core.errors import UserFacingError

    def refuse(model):
        raise UserFacingError("Too large.", code="does_not_fit", param="training_config")

    monkeypatch.setattr("training.plan.services.check_before_building", refuse)

    assert error_of(create(api, file), 400) == ("does_not_fit", "model")
    assert not CustomModel.objects.exists()
    assert not Job.objects.exists()


def test_too_many_jobs_that_wait_are_refused_for_now(api, file, monkeypatch):
    monkeypatch.setattr("training.finetuning.jobs.MOST_WAITING", 1)
    create(api, file)

    response = create(api, file)

    assert error_of(response, 429) == ("rate_limit_exceeded", None)
    assert int(response["Retry-After"]) > 0


def test_one_key_makes_one_job(api, file):
    key = {"Idempotency-Key": "once"}
    first, again = create(api, file, headers=key), create(api, file, headers=key)

    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"
    assert error_of(create(api, file, headers=key, seed=1), 422)[0] == "idempotency_key_reused"
    assert Job.objects.count() == 1


# --- How a build is shown -------------------------------------------------------------------------


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


def root_of(run):
    return run.dataset_version.run.job


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
    JobEvent.tell(run.job_id, "metrics", data={"step": 2, "loss": 9, "train_accuracy": 0.5})

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


@pytest.fixture
def trained(api, file):
    """A job of this API that is in training: (its first job, its run)."""
    create(api, file)
    freeze = Job.objects.get(kind="freeze")
    Job.objects.filter(id=freeze.id).update(state="succeeded")
    run = make_run(CustomModel.objects.get())
    distil = root_of(run)
    run.dataset_version.run.job = freeze
    run.dataset_version.run.save()
    distil.delete()
    return freeze, run


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


# --- Lists ----------------------------------------------------------------------------------------


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
    JobEvent.tell(run.job_id, "log", "Going on.")
    JobEvent.tell(run.job_id, "error", "It broke.", operator_detail="Traceback")
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
