"""The stock `manage.py qcluster` stays correct, and does what the design says it does. Should a
release of django-q2 change one of these facts, a test says so."""

import signal
import time

import psutil
import pytest
from django.utils import timezone
from django_q.models import OrmQ

from modelstation.core.models import Job

pytestmark = pytest.mark.faults
State = Job.State
STOCK = {"Q_CLUSTER_NAME": "gpu", "QUEUE_BROKER": ""}


@pytest.fixture
def stock(house):
    """The main process of a stock cluster, and below it the sentinel with its three processes."""

    def start(**env):
        cluster = house.start("qcluster", **STOCK | env)
        house.wait_until(lambda: len(psutil.Process(cluster.pid).children(recursive=True)) >= 4)
        return cluster

    return start


def parts(cluster):
    [sentinel] = psutil.Process(cluster.pid).children()
    worker, monitor, pusher = sorted(sentinel.children(), key=lambda process: process.pid)
    return {"sentinel": sentinel, "worker": worker, "monitor": monitor, "pusher": pusher}


def test_jobs_run_once_and_in_fair_turn_under_the_stock_cluster(house, org, stock):
    stock()
    some = [house.submit(org, steps=5) for _ in range(4)]
    house.wait_for_end(*some)
    assert {(job.state, job.attempt) for job in some} == {(State.SUCCEEDED, 1)}
    house.assert_invariants()


def test_a_job_of_a_killed_stock_worker_goes_on_with_another_cluster(house, org, stock):
    broken = stock()
    job = house.submit(org, steps=60)
    house.wait_for_step(job, 7)
    for process in psutil.Process(broken.pid).children(recursive=True):
        process.kill()
    house.kills[job.id] += 1
    house.start_workers()  # its keeper reaps
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED
    house.assert_invariants()


def test_stock_fact_a_killed_idle_worker_deadlocks_the_cluster(house, org, stock):
    """Fact 4: why run_worker restarts the whole cluster."""
    cluster = stock()
    time.sleep(1)  # the worker waits for a task, and holds the queue's lock
    before = parts(cluster)
    before["worker"].kill()
    house.wait_until(lambda: parts(cluster)["pusher"].pid and _new_worker(cluster, before))
    job = house.submit(org, steps=1)
    house.wait_until(lambda: OrmQ.objects.filter(lock__gt=timezone.now()).exists())
    time.sleep(5)
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert len(psutil.Process(cluster.pid).children(recursive=True)) >= 4  # and looks healthy


def _new_worker(cluster, before):
    now = {process.pid for process in psutil.Process(cluster.pid).children(recursive=True)}
    return now - {process.pid for process in before.values()}


def test_stock_fact_workers_outlive_a_killed_sentinel(house, org, stock):
    """Fact 5: why the processes of run_worker die with their parent."""
    cluster = stock()
    before = parts(cluster)
    before["sentinel"].kill()
    time.sleep(2)
    assert before["worker"].is_running()
    assert before["worker"].status() != psutil.STATUS_ZOMBIE


def test_stock_fact_sigterm_waits_for_the_task_untold(house, org, stock):
    """Fact 7: why run_worker tells its worker to drain."""
    cluster = stock()
    job = house.submit(org, steps=60)
    house.wait_for_step(job, 3)
    cluster.send_signal(signal.SIGTERM)
    cluster.wait(60)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED  # after all of its steps
    house.assert_invariants()


def test_stock_fact_the_pusher_takes_a_wakeup_while_the_worker_is_busy(house, org, stock):
    """Fact 2: what the broker of the house does not do."""
    stock()
    running = house.submit(org, steps=200)
    house.wait_for_step(running, 1)
    house.submit(org, steps=1)
    house.wait_until(lambda: _wakeups_in_hand() == 2)


def test_the_broker_of_the_house_takes_no_wakeup_while_its_worker_is_busy(house, org):
    house.start_workers()
    running = house.submit(org, steps=200)
    house.wait_for_step(running, 1)
    house.submit(org, steps=1)
    time.sleep(3)
    assert _wakeups_in_hand() == 1


def _wakeups_in_hand():
    return OrmQ.objects.filter(lock__gt=timezone.now()).count()
