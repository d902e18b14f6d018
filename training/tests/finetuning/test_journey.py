"""The whole journey with OpenAI's own client: a file is uploaded, a job trains on it, and what came
of it is read, listed and deleted. The tiny llama makes it quick; nothing is played.
"""

import subprocess
import sys
from contextlib import contextmanager

import openai
import pytest

from distillation.models import DatasetVersion
from models_app.gateway.model_resolver import served_by
from models_app.models import CustomModel
from training.tests.finetuning.rows import LABELS, chat_file, chat_row, jsonl, work_off

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
]
EPOCHS = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}


def answers(served):
    """The file is a model that generates."""
    from models_app.serving.engine import Engine, GenerationConfig

    engine = Engine(served.gguf, served.tokenizer_folder, n_ctx=256, n_threads=1)
    try:
        requested = [{"role": "user", "content": "where is it"}]
        return engine.generate(requested, GenerationConfig(max_new_tokens=4)).completion_tokens
    finally:
        engine.close()


def see_it_in_the_web_app(client, org):
    model = CustomModel.objects.get()
    dataset, run = model.dataset_versions.get(), model.training_runs.get()
    page = client.get(f"/o/acme/models/{model.id}/")
    assert b"Reading the uploaded rows" in page.content
    lineage = client.get(f"/o/acme/datasets/{dataset.id}/lineage/").content.decode()
    assert "uploaded file file-" in lineage
    assert "source deleted" not in lineage
    for path in (
        f"models/{model.id}/stages/",
        f"models/{model.id}/lineage/",
        f"datasets/{dataset.id}/",
        f"runs/{run.id}/",
        f"evaluations/{model.evaluation_runs.get().id}/",
    ):
        assert client.get(f"/o/{org.slug}/{path}").status_code == 200, path


def test_upload_train_read_and_delete(sdk, tiny, org, as_alice):
    file = sdk.files.create(file=chat_file(), purpose="fine-tune")
    assert (file.status, file.object, file.purpose) == ("processed", "file", "fine-tune")

    job = sdk.fine_tuning.jobs.create(
        model="tiny",
        training_file=file.id,
        suffix="Tickets",
        seed=7,
        metadata={"team": "support"},
        method=EPOCHS,
    )
    assert job.id.startswith("ftjob-")
    assert (job.status, job.model, job.seed) == ("validating_files", "tiny", 7)
    assert job.fine_tuned_model is None
    work_off(["freeze"])
    assert sdk.fine_tuning.jobs.retrieve(job.id).status == "queued"
    work_off(["train"])
    assert sdk.fine_tuning.jobs.retrieve(job.id).status == "running"
    work_off(["evaluate"])

    done = sdk.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded", done
    assert done.error is None
    assert done.trained_tokens > 0
    assert done.finished_at >= done.created_at
    assert done.hyperparameters.n_epochs == 2
    assert 1 <= done.hyperparameters.batch_size <= 32
    assert done.fine_tuned_model.startswith("ft:tiny:acme:tickets:")
    evaluation = done.modelstation["evaluation"]
    assert evaluation["verdict"] in ("pass", "inconclusive", "fail")
    assert set(evaluation["scores"]) == {"base", "tuned", "baseline"}

    events = list(sdk.fine_tuning.jobs.list_events(job.id, limit=2))
    ids = [event.id for event in events]
    assert len(ids) == len(set(ids)) > 4
    assert ids == sorted(ids, reverse=True)
    metrics = [event for event in events if event.type == "metrics"]
    assert metrics[0].data["train_loss"] > 0
    assert 0 <= metrics[0].data["valid_mean_token_accuracy"] <= 1

    checkpoints = list(sdk.fine_tuning.jobs.checkpoints.list(job.id))
    steps = [checkpoint.step_number for checkpoint in checkpoints]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] == metrics[0].data["step"]  # the final one
    for checkpoint in checkpoints:
        name = checkpoint.fine_tuned_model_checkpoint
        assert name == f"{done.fine_tuned_model}:ckpt-step-{checkpoint.step_number}"
        served = served_by(org, name)
        assert served.gguf.is_file()
        assert (served.tokenizer_folder / "tokenizer.json").is_file()
        assert sdk.models.retrieve(name).id == name
    assert checkpoints[0].metrics.valid_loss > 0
    assert 0 <= checkpoints[0].metrics.train_mean_token_accuracy <= 1
    assert answers(served_by(org, checkpoints[0].fine_tuned_model_checkpoint))
    see_it_in_the_web_app(as_alice, org)

    [result] = done.result_files
    header, *lines = sdk.files.content(result).text.splitlines()
    assert header == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    assert int(lines[-1].split(",")[0]) == steps[0]
    assert all(lines[-1].split(","))
    assert [f.id for f in sdk.files.list(purpose="fine-tune-results")] == [result]

    assert done.fine_tuned_model in [model.id for model in sdk.models.list()]
    assert sdk.models.delete(done.fine_tuned_model).deleted
    assert not served_by(org, done.fine_tuned_model)
    with pytest.raises(openai.NotFoundError) as gone:
        sdk.models.retrieve(done.fine_tuned_model)
    assert gone.value.code == "model_not_found"
    assert sdk.files.delete(file.id).deleted
    assert CustomModel.objects.get().versions.count() == 0
    assert DatasetVersion.objects.get().rows.count() == 40


@pytest.mark.long
def test_a_csv_beside_a_validation_file_with_numbers_of_ones_own(sdk, tiny):
    table = "text,label\n" + "".join(
        f"ticket {i} about a {LABELS[i % 3]},{LABELS[i % 3]}\n" for i in range(40)
    )
    training = sdk.files.create(file=("rows.csv", table.encode()), purpose="fine-tune")
    held_out = sdk.files.create(
        file=("held.jsonl", jsonl(chat_row(i, system="") for i in range(100, 120))),
        purpose="fine-tune",
    )
    job = sdk.fine_tuning.jobs.create(
        model="tiny",
        training_file=training.id,
        validation_file=held_out.id,
        hyperparameters={"n_epochs": 1, "batch_size": 8, "learning_rate_multiplier": 0.5},
    )
    work_off()

    done = sdk.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded", done
    assert done.validation_file == held_out.id
    requested = done.hyperparameters
    assert (requested.n_epochs, requested.batch_size, requested.learning_rate_multiplier) == (
        1,
        8,
        0.5,
    )
    assert done.modelstation["splits"] == {"train": 40, "valid": 10, "test": 10}
    steps = done.modelstation["config"]["epochs"] * 40 / 8
    assert done.modelstation["config"]["epochs"] == 1
    [last, *_] = sdk.fine_tuning.jobs.checkpoints.list(job.id)
    assert last.step_number == pytest.approx(steps, abs=2)


def test_a_training_is_paused_resumed_and_cancelled(sdk, tiny, live_server):
    file = sdk.files.create(file=chat_file(60), purpose="fine-tune")
    job = sdk.fine_tuning.jobs.create(
        model="tiny", training_file=file.id, hyperparameters={"n_epochs": 100}
    )
    work_off(["freeze"])
    CustomModel.objects.update(training_config={"max_steps": 1_000_000, "eval_every": 0})

    with paused_at_the_first_step(live_server, sdk.api_key, job.id):
        work_off(["train"])
    assert sdk.fine_tuning.jobs.retrieve(job.id).status == "paused"
    messages = [event.message for event in sdk.fine_tuning.jobs.list_events(job.id)]
    assert "Paused." in messages
    assert any(message.startswith("Checkpoint kept at step") for message in messages)

    assert sdk.fine_tuning.jobs.resume(job.id).status == "queued"
    ended = sdk.fine_tuning.jobs.cancel(job.id)
    assert (ended.status, ended.fine_tuned_model) == ("cancelled", None)
    assert ended.finished_at


@contextmanager
def paused_at_the_first_step(live_server, key, job_id):
    """Another program asks for the pause as soon as the training has made a step."""
    argv = [sys.executable, "-c", PAUSE_SOON, f"{live_server.url}/v1", key, job_id]
    with subprocess.Popen(argv) as asking:
        yield
    assert asking.returncode == 0


PAUSE_SOON = """
import sys, time, openai
url, key, job_id = sys.argv[1:]
jobs = openai.OpenAI(base_url=url, api_key=key).fine_tuning.jobs
deadline = time.monotonic() + 120
while time.monotonic() < deadline:
    told = jobs.retrieve(job_id).modelstation
    if told["stage"] == "training" and told["progress"].get("step"):
        sys.exit(jobs.pause(job_id).status not in ("running", "paused"))
    time.sleep(0.2)
sys.exit("no step was made")
"""
