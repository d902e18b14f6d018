"""kill -9 of the worker in the middle of a run, with a teacher in trouble: nothing is lost, and
nothing that was answered is paid twice."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from benchmarks.teacher import TASKS, recorded_teacher, requirement_of
from distillation.models import CorpusExample, TeacherRequest
from distillation.teachers import services
from modelstation import testing
from modelstation.core.jobs import tasks as job_tasks
from modelstation.core.models import Job
from modelstation.tests.faults.house import database_env

pytestmark = pytest.mark.django_db(transaction=True)

WORKER = """
import sys, django
django.setup()
from distillation.tests.imports.test_known_vectors import CountingEmbedder
import modelstation.lm.embedding
modelstation.lm.embedding.load_embedder = CountingEmbedder
from distillation import tasks
tasks.run_teaching(sys.argv[1])
"""


@pytest.fixture
def slow_worker(settings):
    """`slow_worker(run)`: a real process that does the job, on the database of the test."""
    settings.BACKOFF_SECONDS = 0.01
    started = []

    def start(run):
        env = database_env() | {
            "DJANGO_SETTINGS_MODULE": "modelstation.settings",
            "SECRET_KEY": settings.SECRET_KEY,
            "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS),
            "WEBHOOK_ALLOW_PRIVATE": "true",
            "LEASE_SECONDS": "2",
            "HEARTBEAT_SECONDS": "0.5",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", WORKER, str(run.job_id)]
        worker = subprocess.Popen(command, cwd=testing.REPOSITORY, env=env)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            os.kill(worker.pid, signal.SIGKILL)
        worker.wait()


def stats_of(url):
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=5) as answer:
        return json.load(answer)


def wait_until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it did not happen")


def test_a_killed_worker_loses_nothing_and_nothing_is_paid_twice(slow_worker, org, alice, settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True
    testing.shared_data()
    task = TASKS[0]
    told = requirement_of(task)
    model = testing.make_model(
        org, name="Reviews", requirement=told.text, objective=told.objective, policy=told.policy,
        examples=[{"input": e.input, "output": e.output} for e in told.examples],
    )  # fmt: skip
    with recorded_teacher(task, "--trouble", "0.2") as url:
        teacher = services.create_teacher(
            actor=alice, org=org, name="Recorded", base_url=url, model_name="recorded-teacher",
            requests_per_minute=100_000, prompt_price="1", completion_price="2",
        )  # fmt: skip
        draft = services.RunDraft(rows=150)
        run = services.start_run(actor=alice, model=model, teacher=teacher, draft=draft)
        for answered in (4, 12):
            worker = slow_worker(run)
            rows = TeacherRequest.objects.filter(run=run, state="answered")
            wait_until(lambda rows=rows, least=answered: rows.count() >= least)
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            wait_until(lambda: job_tasks.reap() or Job.objects.get(id=run.job_id).state == "queued")
            Job.objects.filter(id=run.job_id).update(not_before=None)
        worker = slow_worker(run)
        assert worker.wait(timeout=200) == 0
        run.refresh_from_db()
        stats = stats_of(url)
    assert run.job.state == "succeeded", run.job.error_text
    assert CorpusExample.objects.filter(source=run.source).count() == run.row_count >= 100
    in_flight = 2  # one at each kill, at most
    lost = stats["prompt_tokens"] + stats["completion_tokens"] - run.spent["tokens"]
    answers = TeacherRequest.objects.filter(run=run)
    most = max(row.prompt_tokens + row.completion_tokens for row in answers)
    assert 0 <= lost <= in_flight * most
    assert 0 <= run.spent["requests"] - stats["requests"] <= in_flight
    assert stats["troubles"] > 0
