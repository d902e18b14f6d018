"""The whole main job: a requirement goes in by the page, by the API and by the terminal; a measured
model comes out.

The tiny llama makes it quick; one test does the same with the real 135M base. Rows are embedded by
the real model."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django_q.models import OrmQ

from accounts.models import Organization
from distillation.models import CorpusExample, ImportRun, SourceDataset
from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.artifacts import verify
from modelstation.core.jobs import jobs
from modelstation.core.jobs.kinds import run_task
from modelstation.core.models import Job
from modelstation.site.installation import DEMO
from training.runs.curves import points_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
]

FAR_FROM_THE_CORPUS = "Translate Old Norse runes to Klingon war poetry in trochaic metre."
FEW_STEPS = {"max_steps": 30, "tokens_per_batch": 256, "eval_every": 15}


SEEDED = [model._meta.db_table for model in (SourceDataset, ImportRun, CorpusExample)]


@pytest.fixture(scope="module")
def seeded():
    """Hold what seeding wrote into each table, once the first test has seeded."""
    return {}


@pytest.fixture
def corpus(transactional_db, seeded):
    """Load the starter corpus' helpdesk rows and some others: embedded for real, then copied."""
    with connection.cursor() as cursor:
        if seeded:
            for table, rows in seeded.items():
                with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                    copy.write(rows)
            return
        call_command("seed", "starter", limit=900, verbosity=0)
        for table in SEEDED:
            with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                seeded[table] = b"".join(copy)


@pytest.fixture
def tiny(settings, tiny_bases, tmp_path, corpus):
    settings.MODELS_DIR = tiny_bases
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    testing.make_base("tiny")


def work_off():
    """Be the workers: run every queued job until none is left."""
    while job := Job.objects.filter(state=Job.State.QUEUED).order_by("created_at").first():
        run_task(job.kind, str(job.id))


def sign_up(client):
    response = client.post(
        "/accounts/signup/",
        {"email": "dora@example.org", "password1": testing.PASSWORD, "password2": testing.PASSWORD},
    )
    assert response.status_code == 302
    return Organization.objects.get(members__email="dora@example.org")


def test_from_sign_up_to_an_evaluated_model_by_pages(tiny):
    client = Client()
    org = sign_up(client)
    form = {
        "name": "Router",
        "requirement": DEMO.requirement,
        "examples": "\n".join(json.dumps(pair) for pair in DEMO.examples),
        "base": "tiny",
        "student": "generator",
        "rows": 120,
    }
    response = client.post(f"/o/{org.slug}/models/new/", form)
    assert response.status_code == 302, response.content.decode()
    model = CustomModel.objects.get(org=org)
    assert model.status == "pending"
    assert OrmQ.objects.count() == 1

    work_off()
    model.refresh_from_db()
    assert model.status in ("ready", "not_passed", "undecided"), model.status_reason
    run, evaluation = model.training_runs.get(), model.evaluation_runs.get()
    assert evaluation.scores.count() == 3
    assert points_of(run.job_id)
    for kind in ("adapter", "merged", "gguf"):
        verify(folder_of(model) / kind)
    for url in (
        f"/o/{org.slug}/",
        f"/o/{org.slug}/models/{model.id}/",
        f"/o/{org.slug}/datasets/{model.dataset_versions.get().id}/",
        f"/o/{org.slug}/runs/{run.id}/",
        f"/o/{org.slug}/evaluations/{evaluation.id}/",
    ):
        assert client.get(url).status_code == 200, url


def test_by_api_and_a_second_version_is_measured_beside_the_live_one(tiny, org, alice, api_for):
    api = api_for(alice)
    body = {
        "name": "Router",
        "requirement": DEMO.requirement,
        "examples": DEMO.examples,
        "base": "tiny",
        "student": "generator",
        "rows": 120,
        "training_config": FEW_STEPS,
        "confirm": True,
    }
    created = api.post("/api/v1/models", body, format="json")
    assert created.status_code == 201, created.content
    assert created.json()["status"] == "pending"
    work_off()
    answer = api.get(f"/api/v1/models/{created.json()['id']}").json()
    assert answer["status"] in ("ready", "not_passed", "undecided")
    model = CustomModel.objects.get(id=answer["id"])
    dataset = model.dataset_versions.get()
    assert dataset.row_count == 120 == dataset.rows.count()
    assert dataset.source_counts == {"starter_helpdesk": 120}
    assert all(row.messages[0]["content"] == dataset.system_prompt for row in dataset.rows.all())

    first, version = model.evaluation_runs.get(), model.versions.get()
    word = {"override": True, "reason": "To have one that is live."}
    assert api.post(f"/api/v1/versions/{version.id}/publish", word, format="json").json()["is_live"]
    version.id, version.number = None, 2
    version.save()  # a twin: the same files
    assert api.post(f"/api/v1/versions/{version.id}/evaluate").status_code == 201
    work_off()
    again = model.evaluation_runs.first()
    assert (again.version, again.is_again, first.is_again) == (version, True, False)
    assert again.verdict == first.verdict != ""
    assert again.contract_digest == first.contract_digest == model.contract_digest != ""
    *same, beside_live = again.criteria
    assert [line["sentence"] for line in same] == [line["sentence"] for line in first.criteria]
    assert beside_live["outcome"] == "pass"
    difference = again.live["difference"]
    assert difference["low"] <= difference["score"] == 0.0 <= difference["high"]
    assert CustomModel.objects.get(id=model.id).live_version.number == 1


def test_in_one_terminal_the_last_line_is_one_json_object(tiny, org, tmp_path, capsys):
    examples = tmp_path / "examples.jsonl"
    examples.write_text("\n".join(json.dumps(pair) for pair in DEMO.examples))
    with pytest.raises(SystemExit) as ended:
        call_command(
            "build_model",
            requirement=DEMO.requirement,
            examples=examples,
            metric="exact_match",
            criterion=["Exact match of at least 99% on held-out rows"],
            base="tiny",
            student="generator",
            rows=120,
            org=org.slug,
            json=True,
            yes=True,
        )
    assert ended.value.code == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["dataset_rows"] == 120
    assert report["metric"] == "exact_match"
    assert report["n_test"] > 0
    assert report["verdict"] == "fail"
    assert report["status"] == "not_passed"
    assert "99" in report["reason"]
    assert set(report["seconds"]) == {"distil", "train", "evaluate", "total"}


def test_a_requirement_that_the_corpus_cannot_serve_asks_for_data(tiny, org, alice):
    model = make_model(org, requirement=FAR_FROM_THE_CORPUS, examples=[])
    work_off()
    model.refresh_from_db()
    assert model.status == "needs_data"
    assert re.search(
        r"Not enough data: \d+ rows above the threshold, at least \d+ needed", model.status_reason
    )
    assert "Add example" in model.status_reason


def test_cancel_while_training_ends_the_model_and_the_child_within_30_seconds(tiny, org, alice):
    model = make_model(org, training_config={"max_steps": 1_000_000})
    job = Job.objects.get()
    run_task("distil", str(job.id))
    training = Job.objects.get(kind="train")
    canceller = subprocess.Popen(
        [sys.executable, "-c", CANCEL_SOON, str(training.id)], env=child_env()
    )
    started = time.monotonic()
    run_task("train", str(training.id))
    assert canceller.wait() == 0
    model.refresh_from_db()
    training.refresh_from_db()
    assert (model.status, training.state) == ("cancelled", "cancelled")
    assert time.monotonic() - started < 60
    assert not list((folder_root(model) / "versions").glob("*/*"))


CANCEL_SOON = """
import sys, time, django
django.setup()
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
job = Job.objects.get(id=sys.argv[1])
while not job.progress.get("step") or job.stage != "train":
    time.sleep(0.2)
    job.refresh_from_db()
jobs.request_cancel(job)
"""


def test_a_real_worker_takes_the_hint_and_leaves_on_sigterm(tiny, org, alice):
    model = make_model(org, requirement=FAR_FROM_THE_CORPUS, examples=[])
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "qcluster"],
        cwd=testing.REPOSITORY,
        env=child_env() | {"Q_CLUSTER_NAME": "distil"},
        start_new_session=True,
    )
    try:
        wait_until(lambda: CustomModel.objects.get(id=model.id).status == "needs_data", seconds=90)
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=30)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
    assert "Not enough data" in CustomModel.objects.get(id=model.id).status_reason


def test_the_real_base_learns_in_a_few_steps(settings, tmp_path, corpus, org, alice):
    if not (settings.MODELS_DIR / DEMO.base / "model-q8_0.gguf").is_file():
        pytest.skip("SmolLM2-135M-Instruct is not in place: run make setup.")
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.EVALUATION_PROBES = False  # half of the minutes; the tiny journeys have them
    testing.make_base(DEMO.base)
    config = FEW_STEPS | {"max_steps": 15}
    model = make_model(org, base_id=DEMO.base, training_config=config)
    work_off()
    model.refresh_from_db()
    assert model.versions.exists(), model.status_reason
    scores = model.versions.get().scores
    assert scores["tuned"]["score"] > scores["base"]["score"]
    assert model.status == "ready", model.status_reason
    assert model.live_version == model.versions.get()


def make_model(org, **fields):
    fields = {
        "base_id": "tiny",
        "requirement": DEMO.requirement,
        "examples": DEMO.examples,
    } | fields
    base_id = fields.pop("base_id")
    model = testing.make_model(org, rows=120, base=testing.make_base(base_id), **fields)
    jobs.submit(kind="distil", org=org, subject_id=model.id)
    return model


def folder_root(model):
    from django.conf import settings

    return settings.ARTIFACTS_DIR / str(model.id)


def folder_of(model):
    from django.conf import settings

    return settings.ARTIFACTS_DIR / model.versions.get().folder


def child_env():
    """Return what a process needs to work on this test's database."""
    options = connection.settings_dict
    host = options["HOST"] or options["OPTIONS"].get("host", "")
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "modelstation.settings",
        "DATABASE_URL": f"postgresql://{options['USER']}@/{options['NAME']}?host={host}",
    }


def wait_until(condition, *, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.3)
    pytest.fail(f"it did not happen within {seconds} seconds")
