"""The real training child under its real job: pause, drain, a killed child, a damaged checkpoint,
cancel. However it is interrupted, a run ends with the losses of one that was not.
"""

import os
import shutil
import signal

import pytest

from distillation.tests.drafts import make_draft
from modelstation import testing
from modelstation.core.artifacts import verify
from modelstation.core.jobs import jobs, supervisor
from modelstation.core.models import Job, JobEvent
from training import tasks
from training.models import TrainingRun
from training.runs import runner
from training.tests.recipes.tiny import write_dataset

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
STEPS = {"max_steps": 60, "eval_every": 20, "checkpoint_every": 10, "dtype": "float32", "seed": 3}


@pytest.fixture
def model(settings, tmp_path, tiny_llama, artifacts_dir, org):
    settings.MODELS_DIR = tmp_path / "models"
    settings.BACKOFF_SECONDS = 0
    shutil.copytree(tiny_llama, settings.MODELS_DIR / "tiny")
    base = testing.make_base("tiny", context=2048)
    return testing.make_model(org, status="training", base=base, training_config=STEPS)


@pytest.fixture
def run(model, org, artifacts_dir):
    dataset = make_draft(org, rows=12, state="frozen", model=model)
    write_dataset(artifacts_dir / dataset.folder)
    job = Job.objects.create(org=org, kind="train", queue="gpu", subject_id=model.id)
    return TrainingRun.objects.create(
        org=org, job=job, model=model, dataset_version=dataset, asked_config=STEPS
    )


@pytest.fixture
def children(monkeypatch):
    """Every child that was started, newest last."""
    started, start = [], supervisor._start
    monkeypatch.setattr(
        supervisor, "_start", lambda argv: started.append(start(argv)) or started[-1]
    )
    return started


@pytest.fixture
def at_first_checkpoint(monkeypatch):
    """Do something at the first checkpoint, as somebody else might at that moment."""

    def arrange(action):
        reporter, done = runner.reporter, []

        def recording(lease):
            report = reporter(lease)

            def record(event):
                report(event)
                if event["event"] == "checkpoint" and not done:
                    done.append(event["step"])
                    action(lease)

            return record

        monkeypatch.setattr(runner, "reporter", recording)
        return done

    return arrange


def work(run):
    tasks.run_training(str(run.job_id))
    return Job.objects.get(id=run.job_id)


def assert_ended_as_if_nothing_had_happened(run, settings):
    run.refresh_from_db()
    assert run.facts["steps"] == 60
    assert run.facts["resumed_from"] > 0
    folder = settings.ARTIFACTS_DIR / run.version.folder
    for kind in ("adapter", "merged", "gguf"):
        verify(folder / kind)
    left = [p.name for p in (settings.ARTIFACTS_DIR / str(run.model_id)).iterdir()]
    assert "checkpoints" not in left
    events = JobEvent.objects.filter(job=run.job_id)
    assert list(events.values_list("seq", flat=True)) == list(range(1, events.count() + 1))
    assert events.filter(message="Done.").count() == 1


@pytest.mark.long
def test_a_paused_run_goes_on_from_its_checkpoint(run, at_first_checkpoint, settings):
    def pause(lease):
        jobs.request_pause(Job.objects.get(id=run.job_id))
        lease.look()  # now, not in two seconds: this run may be over by then

    at_first_checkpoint(pause)
    assert work(run).state == "paused"
    assert work(run).state == "paused"  # a stale hint changes nothing
    jobs.resume(Job.objects.get(id=run.job_id))
    job = work(run)
    assert (job.state, job.crash_count) == ("succeeded", 0), job.error_text
    assert_ended_as_if_nothing_had_happened(run, settings)


@pytest.mark.faults
def test_a_killed_child_costs_one_checkpoint_interval_at_most(
    run, at_first_checkpoint, children, settings
):
    at_first_checkpoint(lambda lease: os.kill(children[-1].pid, signal.SIGKILL))
    assert work(run).state == "queued"
    job = work(run)
    assert (job.state, job.attempt) == ("succeeded", 2), job.error_text
    assert_ended_as_if_nothing_had_happened(run, settings)


@pytest.mark.faults
def test_a_damaged_newest_checkpoint_is_passed_over(run, at_first_checkpoint, children, settings):
    done = at_first_checkpoint(lambda lease: os.kill(children[-1].pid, signal.SIGKILL))
    work(run)
    newest = max((settings.ARTIFACTS_DIR / str(run.model_id) / "checkpoints").iterdir())
    (newest / "state.pt").write_bytes(b"damaged")
    job = work(run)
    assert job.state == "succeeded", job.error_text
    run.refresh_from_db()
    assert run.facts["steps"] == 60
    assert run.facts["resumed_from"] <= done[0] + 10


@pytest.mark.faults
def test_a_cancelled_run_frees_its_child_and_leaves_no_checkpoint(
    run, at_first_checkpoint, children, settings
):
    settings.HEARTBEAT_SECONDS = 0.5
    TrainingRun.objects.filter(id=run.id).update(asked_config=STEPS | {"max_steps": 50_000})
    at_first_checkpoint(lambda lease: jobs.request_cancel(Job.objects.get(id=run.job_id)))
    assert work(run).state == "cancelled"
    assert children[-1].poll() is not None
    assert not (settings.ARTIFACTS_DIR / str(run.model_id) / "checkpoints").exists()
    assert TrainingRun.objects.get(id=run.id).version is None


@pytest.mark.faults
def test_a_run_that_diverges_fails_with_what_to_try(run):
    TrainingRun.objects.filter(id=run.id).update(
        asked_config=STEPS | {"method": "full", "learning_rate": 0.1, "max_grad_norm": 1000}
    )
    base = runner.settings.MODELS_DIR / "tiny"
    spoil_norm(base / "model.safetensors")
    job = work(run)
    assert (job.state, job.error_code) == ("failed", "diverged")
    assert "lower learning_rate" in job.error_text


def spoil_norm(path):
    """A weight that is no number: the first loss is none either."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, path, metadata={"format": "pt"})
