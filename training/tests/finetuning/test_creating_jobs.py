"""POST /v1/fine_tuning/jobs: what may be requested, what is refused and by which name."""

import pytest

from accounts.models import AuditEntry
from models_app.gateway.model_resolver import tuned_name
from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.models import Job
from modelstation.testing import make_version
from training.models import UploadedFile
from training.tests.finetuning.requests import create, error_of, hyper, job_of, name_of, upload
from training.tests.finetuning.rows import chat_file, chat_row, jsonl
from training.tests.planted_runs import make_run

pytestmark = pytest.mark.django_db


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
