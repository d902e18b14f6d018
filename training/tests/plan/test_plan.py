"""The plan of a training before it starts: page, API, the doors that refuse, and what is kept."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from distillation.tests.drafts import make_draft
from models_app.drafts import ModelDraft
from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from training import tasks
from training.builds import services as builds
from training.builds.services import create_model, rebuild
from training.models import MachineProfile, TrainingRun
from training.plan import profiling
from training.plan import services as planning
from training.plan.services import config_for_child, config_of_attempt, plan_for
from training.runs import runner

pytestmark = pytest.mark.django_db

FACTS = {
    "host": "gpu-worker-1",
    "cores": 2,
    "has_bf16": True,
    "fp32_flops": 140e9,
    "bf16_flops": 330e9,
    "memory_bytes": 24 << 30,
    "available_bytes": 20 << 30,
}


@pytest.fixture(autouse=True)
def models_dir(settings, tmp_path, tiny_llama):
    settings.MODELS_DIR = tmp_path / "models"
    shutil.copytree(tiny_llama, settings.MODELS_DIR / "tiny")
    return settings.MODELS_DIR


@pytest.fixture(autouse=True)
def _space(artifacts_dir, monkeypatch):
    monkeypatch.setattr(planning, "disk_free", lambda folder: 100 << 30)


@pytest.fixture
def machine():
    """Measured, and not the one that the tests run on."""
    return MachineProfile.objects.create(
        host=FACTS["host"], measured_at=timezone.now(), facts=FACTS
    )


@pytest.fixture
def small_machine(machine):
    machine.facts = {**FACTS, "available_bytes": 300 << 20}
    machine.save()
    return machine


@pytest.fixture
def model(org):
    return testing.make_model(org, status="ready", base=testing.make_base("tiny", context=2048))


@pytest.fixture
def dataset(org, model):
    return make_draft(org, rows=60, state="frozen", model=model)


def page(client, model, name="training_plan", data=None, **headers):
    url = reverse(name, args=[model.org.slug, model.id])
    send = client.get if name == "training_plan" else client.post
    return send(url, data, headers=headers)


def text(response):
    return response.content.decode()


def api_url(model, name="api_training_plan"):
    return reverse(name, args=[model.id])


def train_jobs(model):
    return Job.objects.filter(kind="train", subject_id=model.id)


# --- the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["training_plan", "training_plan_save", "training_plan_start"])
def test_a_stranger_gets_no_plan(as_charlie, model, dataset, name):
    assert page(as_charlie, model, name).status_code == 404
    assert not train_jobs(model).exists()


def test_the_page_shows_each_setting_with_its_reason_and_what_it_costs(
    as_bob, model, dataset, machine
):
    shown = text(page(as_bob, model))
    assert "LoRA for a base of 0.1 million parameters" in shown
    assert "Small enough for 120 steps or more" in shown
    assert "Peak memory" in shown
    assert "Start training" in shown
    assert "rough" not in shown


def test_before_the_machine_is_measured_the_page_says_that_times_are_rough(as_bob, model, dataset):
    assert "has not been measured yet" in text(page(as_bob, model))


def test_before_there_is_a_dataset_tokens_are_guessed_and_only_saving_is_offered(
    as_bob, model, machine
):
    shown = text(page(as_bob, model))
    assert "tokens are guessed" in shown
    assert "Start training" not in shown
    assert "Save for the next build" in shown


def test_a_draft_is_counted_before_it_is_frozen(as_bob, org, model, machine):
    draft = make_draft(org, rows=60, model=model)
    response = page(as_bob, model)
    assert "the draft, dataset" in text(response)
    assert response.context["plan"].estimate.rows == 40
    draft.rows.filter(position__lt=30).update(decision="refused")
    assert page(as_bob, model).context["plan"].estimate.rows == 20


def test_labels_that_no_training_row_has_are_told_first(as_bob, model, dataset, machine):
    dataset.rows.filter(split="train", position__in=range(2, 60, 3)).delete()
    plan = plan_for(model, {}, dataset=dataset)
    assert plan.estimate.notes[0].startswith("1 of 1 labels of the held-out rows occurs in no")
    assert "top_up (10)" in page(as_bob, model).content.decode()


def test_htmx_gets_the_plan_alone_with_the_settings_it_was_sent(as_bob, model, dataset, machine):
    requested = {"max_steps": "50", "method": "full", "learning_rate": ""}
    shown = text(page(as_bob, model, data=requested, **{"HX-Request": "true"}))
    assert "<html" not in shown
    assert "16 bytes more for every parameter" in shown
    assert CustomModel.objects.get().training_config == {}


def test_a_setting_out_of_bounds_is_said_at_its_field(as_bob, model, dataset, machine):
    response = page(as_bob, model, data={"lora_rank": "0", "max_steps": "50"})
    (error,) = response.context["form"].errors["lora_rank"]
    assert "lora_rank must be between 1 and 256" in error
    assert 'id="id_lora_rank"' in text(response)


def test_settings_can_be_saved_for_the_next_build(as_bob, model, dataset, machine):
    assert page(as_bob, model, "training_plan_save", {"epochs": "2"}).status_code == 302
    model.refresh_from_db()
    assert model.training_config == {"epochs": 2.0}
    assert not train_jobs(model).exists()
    assert AuditEntry.objects.filter(action="model.plan_training").exists()
    assert 'value="2.0"' in text(page(as_bob, model))


def test_training_starts_with_the_settings_of_the_page(as_bob, model, dataset, machine):
    response = page(as_bob, model, "training_plan_start", {"max_steps": "50", "method": "dora"})
    assert response.url == reverse("model", args=[model.org.slug, model.id])
    model.refresh_from_db()
    assert model.status == "training"
    assert model.training_config == {"max_steps": 50, "method": "dora"}
    assert train_jobs(model).get().state == "queued"


def test_what_does_not_fit_is_red_on_the_page_and_never_queued(
    as_bob, model, dataset, small_machine
):
    shown = text(page(as_bob, model))
    assert "This will not fit" in shown
    assert "disabled>Start training" in shown
    refused = page(as_bob, model, "training_plan_start", {})
    assert refused.status_code == 200
    assert "This will not fit" in text(refused)
    assert not train_jobs(model).exists()
    assert CustomModel.objects.get().status == "ready"


def test_a_model_that_is_being_built_is_not_trained_twice(as_bob, model, dataset, machine):
    CustomModel.objects.update(status="training")
    response = page(as_bob, model, "training_plan_start", {})
    assert "being built already" in text(response)
    assert not train_jobs(model).exists()


# --- the API --------------------------------------------------------------------------------------


def test_the_api_says_the_plan_with_its_reasons(api_for, bob, model, dataset, machine):
    body = api_for(bob).get(api_url(model)).json()
    assert body["dataset"] == str(dataset.id)
    assert body["asked"] == {}
    assert body["resolved"]["learning_rate"] > 0
    assert body["reasons"].keys() == body["resolved"].keys()
    estimate = body["estimate"]
    assert estimate["minutes"]["low"] < estimate["minutes"]["expected"]
    assert estimate["rows"] == 40
    assert body["refusals"] == []
    assert body["machine"]["host"] == FACTS["host"]


def test_the_api_estimates_other_settings_and_keeps_them_only_when_reported(
    api_for, bob, model, dataset, machine
):
    api = api_for(bob)
    requested = {"config": {"max_steps": 33}}
    body = api.post(api_url(model), requested, format="json").json()
    assert body["estimate"]["steps"] == 33
    model.refresh_from_db()
    assert model.training_config == {}
    api.post(api_url(model), {**requested, "keep": True}, format="json")
    model.refresh_from_db()
    assert model.training_config == {"max_steps": 33}
    assert api.get(api_url(model)).json()["asked"] == {"max_steps": 33}


def test_the_api_refuses_with_the_pages_sentence_and_queues_nothing(
    api_for, bob, model, dataset, small_machine
):
    api = api_for(bob)
    assert api.get(api_url(model)).json()["refusals"][0]["code"] == "does_not_fit"
    refused = api.post(api_url(model, "api_training_plan_start"), {}, format="json")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "does_not_fit"
    assert refused.json()["error"]["hint"]
    assert not train_jobs(model).exists()


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"max_tokens": 1000}, "over_budget"),
        ({"max_seq_len": 16}, "not_enough_data"),
        ({"max_seq_len": 4096}, "invalid"),
        ({"speed": 9}, "invalid"),
    ],
)
def test_every_refusal_has_its_code(api_for, bob, model, dataset, machine, config, code):
    url = api_url(model, "api_training_plan_start")
    refused = api_for(bob).post(url, {"config": config}, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    assert not train_jobs(model).exists()


def test_a_full_disk_is_refused_by_api(api_for, bob, model, dataset, machine, monkeypatch):
    monkeypatch.setattr(planning, "disk_free", lambda folder: 1 << 20)
    refused = api_for(bob).post(api_url(model, "api_training_plan_start"), {}, format="json")
    assert refused.json()["error"]["code"] == "not_enough_disk"


def test_the_api_starts_a_training(api_for, bob, model, dataset, machine):
    url = api_url(model, "api_training_plan_start")
    started = api_for(bob).post(url, {"config": {"max_steps": 40}}, format="json")
    assert started.status_code == 202
    assert started.json()["id"] == str(train_jobs(model).get().id)
    again = api_for(bob).post(url, {}, format="json")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_building")


def test_without_a_frozen_dataset_nothing_can_be_started(api_for, bob, model, machine):
    answer = api_for(bob).post(api_url(model, "api_training_plan_start"), {}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_dataset")


@pytest.mark.parametrize("name", ["api_training_plan", "api_training_plan_start"])
def test_a_strangers_token_opens_no_plan(api_for, charlie, model, dataset, name):
    stranger = api_for(charlie, org=charlie.memberships.get().org)
    assert stranger.post(api_url(model, name), {}, format="json").status_code == 404


# --- the other doors ------------------------------------------------------------------------------


def test_a_model_that_could_not_be_trained_here_is_not_made(org, alice, small_machine):
    testing.make_base("tiny")
    draft = ModelDraft("Router", testing.REQUIREMENT, base="tiny", student="generator")
    with pytest.raises(UserFacingError) as error:
        create_model(actor=alice, org=org, draft=draft)
    assert error.value.code == "does_not_fit"
    assert not CustomModel.objects.exists()
    assert not Job.objects.exists()


def test_a_model_that_could_not_be_trained_here_is_not_built_again(alice, model, small_machine):
    with pytest.raises(UserFacingError) as error:
        rebuild(actor=alice, model=model)
    assert error.value.code == "does_not_fit"
    assert not Job.objects.exists()


def test_a_dataset_that_was_too_small_hinders_no_new_build(org, alice, model, machine):
    make_draft(org, rows=3, state="frozen", model=model)
    assert plan_for(model, {}, dataset=planning.dataset_of(model)).estimate.refusals
    rebuild(actor=alice, model=model)
    assert Job.objects.filter(kind="distil", state="queued").exists()


def test_a_draft_that_could_not_be_trained_on_is_not_frozen(org, alice, model, small_machine):
    draft = make_draft(org, rows=60, model=model)
    CustomModel.objects.update(status="review")
    with pytest.raises(UserFacingError) as error:
        builds.freeze_and_train(actor=alice, version=draft)
    assert error.value.code == "does_not_fit"
    draft.refresh_from_db()
    assert draft.is_draft
    assert not train_jobs(model).exists()


def make_run(model, dataset, state="succeeded", **fields):
    job = Job.objects.create(
        org=model.org, kind="train", queue="gpu", subject_id=model.id, state=state
    )
    return TrainingRun.objects.create(
        org=model.org, job=job, model=model, dataset_version=dataset, **fields
    )


def test_the_worker_looks_again_and_starts_no_child(model, dataset, machine, monkeypatch):
    """The automatic hand-over passes no page: its door is the job's start."""
    machine.facts = {**FACTS, "available_bytes": 300 << 20}
    monkeypatch.setattr(planning, "ensure_measured", lambda: machine)
    monkeypatch.setattr(runner, "run_child", lambda *args, **kwargs: pytest.fail("a child started"))
    job = jobs.submit(kind="train", org=model.org, subject_id=model.id)
    tasks.run_training(str(job.id))
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "does_not_fit")
    assert "This will not fit" in job.error_text


def test_the_child_gets_what_was_resolved_and_the_run_keeps_both(
    model, dataset, machine, monkeypatch
):
    monkeypatch.setattr(planning, "ensure_measured", lambda: machine)
    model.training_config = {"epochs": 2.0}
    model.save()
    specs = []

    def run_child(module, spec, **rest):
        specs.append(json.loads(Path(spec).read_text()))
        raise UserFacingError("That will do.")

    monkeypatch.setattr(runner, "run_child", run_child)
    job = jobs.submit(kind="train", org=model.org, subject_id=model.id)
    tasks.run_training(str(job.id))
    run = TrainingRun.objects.get()
    assert run.asked_config == {"epochs": 2.0}
    config = specs[0]["config"]
    assert config["epochs"] == 2.0
    assert config["checkpoint_every"] >= 1
    assert config["micro_batch_tokens"] == config["tokens_per_batch"]
    assert config["device"] == "auto"
    assert run.plan["steps"] > 0
    assert run.plan["reasons"]["learning_rate"]


def test_a_later_attempt_goes_on_with_the_same_settings(model, dataset, machine, monkeypatch):
    """Its checkpoint belongs to those settings, whatever is known or free by now."""
    monkeypatch.setattr(planning, "ensure_measured", lambda: machine)
    run = make_run(model, dataset, asked_config={"tokens_per_batch": 8192})
    first = config_of_attempt(run)
    keep_run(model, dataset, machine, 3.0, monkeypatch)
    machine.facts = {**FACTS, "available_bytes": 1_030_000_000}
    second = config_of_attempt(TrainingRun.objects.get(id=run.id))
    assert second == first


def test_where_rows_were_only_sampled_the_child_cuts_the_batches_itself(
    model, dataset, machine, monkeypatch
):
    monkeypatch.setattr(planning, "SAMPLE_ROWS", 10)
    plan = plan_for(model, {}, dataset=dataset)
    assert plan.is_sample
    assert plan.estimate.rows == 40
    config = config_for_child(plan)
    assert "tokens_per_batch" not in config
    assert config["lora_rank"] == 16


def test_rows_of_a_frozen_dataset_are_counted_once(model, dataset, machine, monkeypatch):
    plan_for(model, {}, dataset=dataset)
    monkeypatch.setattr(planning, "load_renderer", lambda folder: pytest.fail("counted again"))
    assert plan_for(model, {"epochs": 1.0}, dataset=dataset).estimate.rows == 40


# --- what earlier runs teach ----------------------------------------------------------------------


def keep_run(model, dataset, machine, seconds, monkeypatch, **facts):
    monkeypatch.setattr(planning, "ensure_measured", lambda: machine)
    run = make_run(model, dataset)
    config_of_attempt(run)
    expected = run.plan["training_seconds"]
    run.facts = {"seconds": expected * seconds, "steps": run.plan["steps"], **facts}
    run.save()
    return run


def test_the_median_of_what_runs_took_corrects_the_next_estimate(
    model, dataset, machine, monkeypatch
):
    before = plan_for(model, {}, dataset=dataset)
    for times in (1.9, 2.0, 9.0, 2.1):  # one of them was unlucky, and is no measure
        keep_run(model, dataset, machine, times, monkeypatch)
    after = plan_for(model, {}, dataset=dataset)
    assert after.machine.time_ratio == pytest.approx(2.0)
    assert after.machine.runs_seen == 3
    assert after.estimate.seconds_by_stage["train"] == pytest.approx(
        2 * before.estimate.seconds_by_stage["train"]
    )


def test_a_run_that_ended_early_is_measured_by_the_steps_it_made(
    model, dataset, machine, monkeypatch
):
    run = keep_run(model, dataset, machine, 1.0, monkeypatch)
    run.facts = {"seconds": run.plan["training_seconds"] / 2, "steps": run.plan["steps"] // 2}
    run.save()
    assert planning.known_machine().time_ratio == pytest.approx(1.0, rel=0.05)


def test_runs_of_another_machine_or_that_failed_teach_nothing(model, dataset, machine, monkeypatch):
    run = keep_run(model, dataset, machine, 2.0, monkeypatch)
    run.plan["host"] = "elsewhere"
    run.save()
    failed = keep_run(model, dataset, machine, 2.0, monkeypatch)
    Job.objects.filter(id=failed.job_id).update(state="failed")
    assert planning.known_machine().runs_seen == 0


def test_memory_is_corrected_by_the_peaks_of_runs(model, dataset, machine, monkeypatch):
    run = keep_run(model, dataset, machine, 1.0, monkeypatch)
    run.facts["peak_memory_bytes"] = run.plan["training_bytes"] * 1.2
    run.save()
    assert planning.known_machine().memory_ratio == pytest.approx(1.2)


# --- measuring ------------------------------------------------------------------------------------


def test_a_worker_measures_its_machine_when_the_last_time_is_long_ago(machine, monkeypatch):
    monkeypatch.setattr(profiling.socket, "gethostname", lambda: FACTS["host"])
    monkeypatch.setattr(profiling, "measure", lambda: "anew")
    assert profiling.ensure_measured() == machine
    MachineProfile.objects.update(measured_at=timezone.now() - timedelta(days=2))
    assert profiling.ensure_measured() == "anew"


def test_a_machine_that_cannot_be_measured_stops_no_training(model, dataset, monkeypatch):
    monkeypatch.setattr(profiling.sys, "executable", "/bin/false")
    assert profiling.ensure_measured() is None
    run = make_run(model, dataset)
    assert config_of_attempt(run).learning_rate > 0
    assert any("rough" in note for note in run.plan["notes"])


def test_the_task_keeps_what_was_measured(monkeypatch):
    tasks.measure_machine()
    profile = MachineProfile.objects.get()
    assert profile.facts["fp32_flops"] > 0
    assert planning.known_machine().is_measured


def test_a_gpu_nobody_looked_for_is_no_reason_to_refuse(model, dataset):
    assert not plan_for(model, {"device": "cuda"}, dataset=dataset).estimate.refusals


def test_starting_needs_nothing_but_a_member(bob, model, dataset, machine):
    job = builds.train_again(actor=bob, model=model, requested={})
    assert job.kind == "train"
    assert AuditEntry.objects.filter(action="model.start_training", actor=bob).exists()
