"""The commands of workers, and the broker. What happens when they are killed: tests/faults."""

import multiprocessing
import os
import uuid
from datetime import timedelta
from queue import Queue

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task
from django_q.worker import worker

from modelstation.core.jobs import claims, jobs
from modelstation.core.jobs.queue import enqueue
from modelstation.core.jobs.tasks import canary, reap
from modelstation.core.jobs.workers import UnhurriedBroker
from modelstation.core.models import Job, QueueHealth

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(Conf, "POLL", 0)


@pytest.fixture
def broker():
    return UnhurriedBroker("gpu")


def take(broker):
    """Return the id of the message that the broker hands out."""
    taken = broker.dequeue()
    return taken and taken[0][0]


def ids():
    return list(OrmQ.objects.order_by("id").values_list("id", flat=True))


def test_a_queue_is_alive_when_a_worker_was_seen_a_short_while_ago(capsys):
    QueueHealth.seen("gpu")
    with pytest.raises(SystemExit) as ended:
        call_command("check_queue", "gpu")
    assert ended.value.code == 0
    QueueHealth.objects.update(seen_at=timezone.now() - timedelta(seconds=91))
    with pytest.raises(SystemExit) as ended:
        call_command("check_queue", "gpu")
    assert ended.value.code == 1
    assert "run_worker gpu" in capsys.readouterr().err


def test_a_cluster_that_would_listen_to_another_queue_does_not_start(monkeypatch):
    monkeypatch.setenv("Q_CLUSTER_NAME", "distil")
    with pytest.raises(CommandError, match="Q_CLUSTER_NAME=gpu"):
        call_command("run_worker", "gpu", "--no-keeper")


def test_the_broker_hands_out_the_oldest_message_of_its_queue_once(broker):
    for queue in ("default", "gpu", "gpu"):
        enqueue(canary, "x", queue=queue)
    _, first, _ = ids()
    assert take(broker) == first
    assert UnhurriedBroker("gpu").dequeue()[0][0] != first


def test_the_broker_takes_nothing_while_one_is_in_hand_and_the_next_when_it_is_done(broker):
    for _ in range(2):
        enqueue(canary, "x", queue="gpu")
    first, second = ids()
    assert take(broker) == first
    assert take(broker) is None
    broker.acknowledge(first)
    assert take(broker) == second


def test_a_message_that_died_with_its_worker_does_not_stop_the_broker(broker, org, monkeypatch):
    job = jobs.submit(kind="train", org=org, subject_id=uuid.uuid4())
    enqueue(canary, "x", queue="gpu")
    take(broker)
    claims.claim(job.id)  # by a sibling: tests and broker have one parent
    monkeypatch.setattr("modelstation.core.jobs.workers.PICK_UP_SECONDS", 0)
    assert take(broker) is None
    Job.objects.update(lease_owner=f"elsewhere:{os.getppid()}:1")
    assert take(broker) is not None


def test_a_message_that_names_a_task_of_an_older_release_is_harmless(org, settings, monkeypatch):
    """The worker cannot find the task and drops the message; the reaper wakes the job again."""
    job = jobs.submit(kind="train", org=org, subject_id=uuid.uuid4())
    OrmQ.objects.all().delete()
    async_task("modelstation.core.tasks.wake", str(job.id), cluster="gpu")
    old = OrmQ.objects.get()
    tasks, results = Queue(), Queue()
    monkeypatch.setattr("django_q.worker.close_old_django_connections", lambda: None)
    for item in (old.task, "STOP"):
        tasks.put(item)

    worker(tasks, results, multiprocessing.Value("f", -1), -1)

    ended = results.get_nowait()
    assert not ended["success"]
    assert "is not defined" in ended["result"]
    assert settings.Q_CLUSTER["ack_failures"]
    old.delete()  # what the monitor does with it
    reap()
    assert OrmQ.objects.get().args() == (str(job.id),)
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED


def test_the_broker_is_the_one_that_the_settings_name(settings):
    assert settings.Q_CLUSTER["broker_class"] == "modelstation.core.jobs.workers.UnhurriedBroker"
    assert settings.Q_CLUSTER["ALT_CLUSTERS"]["gpu"]["recycle"] == 1
    assert settings.HEARTBEAT_SECONDS * 3 < settings.LEASE_SECONDS
