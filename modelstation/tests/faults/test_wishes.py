"""Cancel, pause and resume at each stage, twice, and racing the job's end."""

import shutil
import threading
import time

import pytest
from django.conf import settings
from django.db import connection

from modelstation.core.jobs import jobs
from modelstation.core.models import Job

pytestmark = pytest.mark.faults
State = Job.State


@pytest.mark.parametrize("stage", ["load", "train", "export"])
def test_cancel_at_each_stage_requested_twice_frees_the_child(house, org, stage):
    house.start_workers()
    job = house.submit(org, export_seconds=60, ignores_sigterm=stage == "train")
    house.wait_until(lambda: Job.objects.filter(id=job.id, stage=stage).exists())
    child = house.wait_until(lambda: house.child(job))
    assert jobs.request_cancel(job)
    jobs.request_cancel(job)
    house.wait_until(lambda: not child.is_running(), seconds=30)
    house.wait_for_end(job)
    assert job.state == State.CANCELLED
    assert not jobs.request_cancel(job)
    house.assert_invariants()
    house.stop()


def test_a_paused_run_goes_on_where_it_stopped(house, org):
    house.start_workers()
    job = house.submit(org)
    house.wait_for_step(job, 7)
    assert jobs.request_pause(job)
    jobs.request_pause(job)
    house.wait_for_state(job, State.PAUSED)
    house.wait_until(lambda: not house.children(job))
    before = house.steps_of(job)
    assert jobs.resume(job)
    assert not jobs.resume(
        Job.objects.create(org=org, kind="count", queue="gpu", subject_id=org.id)
    )
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED
    steps = [step for _, step in house.steps_of(job)]
    assert steps == list(range(1, 41))  # none twice, none left out
    assert house.steps_of(job)[: len(before)] == before
    house.assert_invariants()
    house.stop()


def test_a_paused_run_can_be_cancelled(house, org):
    house.start_workers()
    job = house.submit(org)
    house.wait_for_step(job, 3)
    jobs.request_pause(job)
    house.wait_for_state(job, State.PAUSED)
    assert jobs.request_cancel(job)
    house.wait_for_end(job)
    assert job.state == State.CANCELLED
    house.assert_invariants()
    house.stop()


def test_what_is_deleted_while_it_trains_frees_the_child_and_leaves_no_file(house, org):
    house.start_workers()
    job, next_one = house.submit(org), house.submit(org, steps=2)
    house.wait_for_step(job, 7)
    child, root = house.child(job), settings.ARTIFACTS_DIR / str(job.subject_id)
    Job.objects.filter(id=job.id).delete()
    shutil.rmtree(root, ignore_errors=True)  # the child writes on until it is stopped
    house.wait_until(lambda: not child.is_running(), seconds=30)
    house.wait_for_end(next_one)
    assert next_one.state == State.SUCCEEDED
    house.wait_until(lambda: not root.exists())
    house.stop()


def test_wishes_that_race_with_the_end_leave_one_ending(house, org):
    house.start_workers()
    some = [house.submit(org, steps=3, step_seconds=0.01) for _ in range(8)]
    for number, job in enumerate(some):
        wish = jobs.request_cancel if number % 2 else jobs.request_pause
        house.wait_until(lambda job=job: _is_nearly_done(job))
        wish(job)
    for job in some:
        house.wait_until(lambda job=job: jobs.resume(job) or not _reload(job).is_live)
    house.wait_for_end(*some)
    assert {job.state for job in some} <= {State.SUCCEEDED, State.CANCELLED}
    house.assert_invariants()
    house.stop()


def _reload(job):
    job.refresh_from_db()
    return job


def _is_nearly_done(job):
    return _reload(job).stage in ("train", "export") or not job.is_live


def test_the_same_wakeup_ten_times_to_four_workers_runs_the_job_once(house, org):
    from modelstation.core.jobs.queue import send_wakeup

    for _ in range(4):
        house.start_workers()
    job = house.submit(org, steps=20)
    for _ in range(9):
        send_wakeup(job)
    house.wait_for_end(job)
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
    assert len(house.steps_of(job)) == 20
    house.assert_invariants()
    house.stop()


def test_fifty_submits_at_once_with_one_key_are_one_job(house, org):
    made, gate = [], threading.Barrier(50)
    subject = org.id

    def submit():
        gate.wait()
        try:
            job = jobs.submit(kind="count", org=org, subject_id=subject, idempotency_key="once")
            made.append(job.id)
        finally:
            connection.close()

    threads = [threading.Thread(target=submit) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 50
    assert set(made) == {Job.objects.get().id}


@pytest.mark.parametrize("broker", ["modelstation.core.jobs.workers.UnhurriedBroker", ""])
def test_a_hundred_queued_runs_of_one_delay_anothers_first_by_one_at_most(house, org, broker):
    """With the stock broker too: a wakeup only wakes."""
    from modelstation import testing

    ours = [house.submit(org, steps=2, step_seconds=0.2) for _ in range(100)]
    house.start_workers(QUEUE_BROKER=broker)
    house.wait_until(lambda: Job.objects.filter(state="running").exists())
    started_before = _started()
    theirs = house.submit(testing.make_org("Other"), steps=2)
    house.wait_until(lambda: _reload(theirs).attempt == 1)
    started_between = _started() - started_before - {theirs.id}
    assert len(started_between) <= 2  # one in flight as it was submitted, one claimed before it
    house.wait_for_end(theirs)
    assert theirs.state == State.SUCCEEDED
    for job in ours:
        jobs.request_cancel(job)
    house.wait_for_end(*ours)
    house.assert_invariants()
    house.stop()


def _started():
    return set(Job.objects.filter(attempt__gt=0).values_list("id", flat=True))


def test_no_wakeup_is_lost_when_jobs_of_many_are_worked_off(house, org):
    """Each job runs, although wakeups are used for others and an organisation's share is one."""
    from modelstation import testing

    others = [testing.make_org(f"Other {number}") for number in range(3)]
    some = [house.submit((org, *others)[n % 4], steps=1, step_seconds=0.01) for n in range(12)]
    for _ in range(2):
        house.start_workers(ORG_JOBS_AT_ONCE="gpu=1")
    began = time.monotonic()
    house.wait_for_end(*some)
    assert {job.state for job in some} == {State.SUCCEEDED}, time.monotonic() - began
    house.assert_invariants()
    house.stop()
