import os
import signal
import uuid
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.models import OrmQ

from modelstation.core.jobs import jobs, tasks
from modelstation.core.jobs.interrupts import Crashed, RetrySmaller
from modelstation.core.jobs.lease import Lease, LeaseLost
from modelstation.core.models import Job

pytestmark = pytest.mark.django_db

State = Job.State


@pytest.fixture
def job(org):
    return jobs.submit(kind="train", org=org, subject_id=uuid.uuid4())


def nothing():
    return None


def run(job, work):
    jobs.run_job(str(job.id), work)
    job.refresh_from_db()


def raising(error):
    def work(job, lease):
        raise error

    return work


def messages(job):
    return list(job.events.values_list("message", flat=True))


def test_a_queued_job_is_paused_at_once_and_no_wakeup_starts_it(job):
    assert jobs.request_pause(job)
    run(job, lambda *_: pytest.fail("a paused job was run"))
    assert job.state == State.PAUSED
    assert job.is_live


def test_a_paused_job_waits_for_a_person_and_no_reaper(job):
    jobs.request_pause(job)
    OrmQ.objects.all().delete()
    tasks.reap()
    assert not OrmQ.objects.exists()
    assert jobs.resume(job)
    job.refresh_from_db()
    assert (job.state, job.pause_requested_at) == (State.QUEUED, None)
    assert OrmQ.objects.count() == 1
    run(job, lambda *_: nothing)
    assert job.state == State.SUCCEEDED


def test_a_running_job_pauses_at_its_next_look(job):
    def work(job, lease):
        assert jobs.request_pause(job)
        lease.beat()
        lease.check()
        return nothing

    run(job, work)
    assert (job.state, job.lease_token, job.crash_count) == (State.PAUSED, None, 0)
    assert messages(job)[-2:] == ["Pause requested.", "Paused."]


def test_a_pause_that_is_withdrawn_before_it_came_to_pass_is_none(job):
    def work(job, lease):
        jobs.request_pause(job)
        lease.beat()
        assert jobs.resume(job)
        lease.check()  # still knows the wish: the next look would not
        return nothing

    run(job, work)
    assert job.state == State.QUEUED


def test_a_job_that_is_done_before_it_paused_is_done(job):
    def work(job, lease):
        jobs.request_pause(job)
        return nothing

    run(job, work)
    assert job.state == State.SUCCEEDED
    assert not jobs.resume(job)
    assert not jobs.request_pause(job)


def test_cancel_goes_before_pause(job):
    def work(job, lease):
        jobs.request_pause(job)
        jobs.request_cancel(job)
        assert not jobs.request_pause(job)
        lease.beat()
        lease.check()
        return nothing

    run(job, work)
    assert job.state == State.CANCELLED


def test_a_paused_job_can_be_cancelled_once(job):
    jobs.request_pause(job)
    assert jobs.request_cancel(job)
    assert not jobs.request_cancel(job)
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert not jobs.resume(job)


@pytest.mark.parametrize(
    ("wish", "state"),
    [(jobs.request_cancel, State.CANCELLED), (jobs.request_pause, State.PAUSED)],
)
def test_a_wish_to_a_worker_that_died_is_met_by_the_reaper(job, wish, state):
    jobs.claim(str(job.id))
    wish(job)
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.reap()
    job.refresh_from_db()
    assert job.state == state


def test_a_worker_that_is_told_to_end_gives_its_job_back_without_a_crash(job, monkeypatch):
    ended = []
    monkeypatch.setattr(signal, "raise_signal", ended.append)

    def work(job, lease):
        os.kill(os.getpid(), signal.SIGTERM)
        lease.check()
        return nothing

    run(job, work)
    assert (job.state, job.crash_count, job.not_before) == (State.QUEUED, 0, None)
    assert ended == [signal.SIGTERM]  # and then it ends as it would have
    run(job, lambda *_: nothing)
    assert (job.state, job.attempt) == (State.SUCCEEDED, 2)


def test_a_worker_that_is_told_to_end_while_it_claims_gives_its_job_back_too(job, monkeypatch):
    monkeypatch.setattr(signal, "raise_signal", lambda number: None)

    def task(job):
        os.kill(os.getpid(), signal.SIGTERM)  # before anybody listens
        jobs.run_job(job, lambda job, lease: lease.check())

    monkeypatch.setattr("training.tasks.run_training", task)
    jobs.run_fairest(str(job.id))
    job.refresh_from_db()
    assert (job.state, job.crash_count) == (State.QUEUED, 0)


def test_a_command_that_is_interrupted_gives_its_job_back(job):
    with pytest.raises(KeyboardInterrupt):
        run(job, raising(KeyboardInterrupt()))
    job.refresh_from_db()
    assert (job.state, job.crash_count) == (State.QUEUED, 0)


def test_crashes_are_tried_again_later_and_later_and_then_fail_with_their_own_code(job, settings):
    settings.BACKOFF_SECONDS = 100
    waits = []
    for _ in range(jobs.MAX_CRASHES - 1):
        run(job, raising(Crashed("oom_killed", "Killed.")))
        waits.append(job.not_before - timezone.now())
    assert (job.state, job.crash_count) == (State.QUEUED, 2)
    assert waits[1] > 1.5 * waits[0]
    run(job, raising(Crashed("oom_killed", "Killed.")))
    assert (job.state, job.error_code) == (State.FAILED, "oom_killed")


def test_a_new_checkpoint_forgives_earlier_crashes_and_an_old_one_does_not(job):
    def work(job, lease):
        lease.checkpointed(10)
        raise Crashed("child_crashed", "Crashed.")

    run(job, work)
    run(job, raising(Crashed("child_crashed", "Crashed.")))
    assert job.crash_count == 2
    Job.objects.filter(id=job.id).update(checkpoint_step=5)
    run(job, work)
    assert (job.state, job.crash_count, job.checkpoint_step) == (State.QUEUED, 1, 10)
    run(job, work)
    run(job, work)
    assert job.state == State.FAILED


def test_a_gpu_that_is_too_small_is_tried_once_more_with_what_is_told(job):
    smaller = {"micro_batch_tokens": 256}
    run(job, raising(RetrySmaller(smaller, "The GPU ran out of memory.")))
    assert (job.state, job.overrides, job.crash_count) == (State.QUEUED, smaller, 0)
    assert job.events.get(data=smaller).message.startswith("The GPU ran out of memory.")


def test_a_database_that_is_away_for_too_long_does_not_fail_the_job(job):
    run(job, raising(OperationalError("the connection is closed")))
    assert (job.state, job.crash_count) == (State.QUEUED, 1)


def test_what_a_dead_attempt_left_is_deleted_and_what_was_published_stays(job, artifacts_dir):
    def write(job, lease):
        folder = artifacts_dir / str(job.subject_id) / "versions" / f"{job.id}-{job.attempt}"
        folder.mkdir(parents=True)
        folder.with_name(f".{folder.name}-half-written").mkdir()
        (artifacts_dir / str(job.subject_id) / "checkpoints").mkdir(exist_ok=True)
        return folder

    def crash(job, lease):
        write(job, lease)
        raise Crashed("child_crashed", "Crashed.")

    run(job, crash)
    run(job, lambda job, lease: (write(job, lease), nothing)[1])
    assert job.state == State.SUCCEEDED
    root = artifacts_dir / str(job.subject_id)
    left = {path.name for path in (root / "versions").iterdir()}
    assert left == {f"{job.id}-2", f".{job.id}-2-half-written"}
    assert (root / "checkpoints").is_dir()


def test_a_late_heartbeat_keeps_a_job_from_the_reaper(job):
    held = jobs.claim(str(job.id))
    stale = Job.objects.get(id=held.id)
    assert not tasks._reap(stale)
    job.refresh_from_db()
    assert job.state == State.RUNNING


def test_who_looks_learns_of_wishes_and_of_another_holder(job):
    lease = Lease(jobs.claim(str(job.id)))
    jobs.request_pause(job)
    lease.look()
    assert (lease.paused, lease.cancelled) == (True, False)
    jobs.resume(job)
    jobs.request_cancel(job)
    lease.look()
    assert (lease.paused, lease.cancelled) == (False, True)
    Job.objects.update(lease_token=uuid.uuid4())
    with pytest.raises(LeaseLost):
        lease.look()
    assert lease.lost


def test_a_job_that_was_deleted_is_learnt_of_at_the_next_beat(job):
    lease = Lease(jobs.claim(str(job.id)))
    Job.objects.all().delete()
    lease.look()
    with pytest.raises(LeaseLost):
        lease.beat()
