import errno
import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import claims, jobs, tasks
from modelstation.core.models import Job, JobEvent, QueueHealth

pytestmark = pytest.mark.django_db

State = Job.State


@pytest.fixture
def job(org):
    return jobs.submit(kind="train", org=org, subject_id=uuid.uuid4())


def nothing():
    return None


def test_a_submitted_job_waits_with_a_wakeup_in_its_queue(job):
    assert job.state == State.QUEUED
    [wakeup] = OrmQ.objects.all()
    assert wakeup.key == "gpu"
    assert wakeup.task["args"] == (str(job.id),)


def test_a_job_and_its_wakeup_are_rolled_back_together(org):
    class Boom(Exception):
        pass

    def submit_then_fail():
        from django.db import transaction

        with transaction.atomic():
            jobs.submit(kind="train", org=org, subject_id=uuid.uuid4())
            raise Boom

    with pytest.raises(Boom):
        submit_then_fail()
    assert not Job.objects.exists()
    assert not OrmQ.objects.exists()


def test_work_that_returns_has_its_result_published_and_its_job_succeeded(job):
    published = []
    jobs.run_job(str(job.id), lambda job, lease: lambda: published.append(job.id))
    job.refresh_from_db()
    assert published == [job.id]
    assert job.state == State.SUCCEEDED
    assert job.lease_token is None
    assert job.finished_at is not None


def test_a_wakeup_delivered_ten_times_does_the_work_once(job):
    calls = []

    def work(job, lease):
        calls.append(job.id)
        return nothing

    for _ in range(10):
        jobs.run_job(str(job.id), work)
    assert len(calls) == 1


def test_a_wakeup_delivered_while_the_job_runs_is_a_no_op(job):
    calls = []

    def work(job, lease):
        calls.append("outer")
        jobs.run_job(str(job.id), lambda *_: calls.append("inner"))
        return nothing

    jobs.run_job(str(job.id), work)
    assert calls == ["outer"]


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_exactly_one_claims_the_job(org):
    job = jobs.submit(kind="train", org=org, subject_id=uuid.uuid4())
    barrier = threading.Barrier(6)
    won = []

    def claim():
        barrier.wait()
        if jobs.claim(str(job.id)):
            won.append(1)
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_failure_of_ours_shows_the_user_a_sentence_and_the_operator_a_traceback(job):
    def work(job, lease):
        raise ZeroDivisionError("secret detail")

    jobs.run_job(str(job.id), work)
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "internal_error")
    assert "secret detail" not in job.error_text
    assert "secret detail" in job.events.get(kind=JobEvent.Kind.ERROR).operator_detail


def test_a_failure_that_the_user_can_mend_is_shown_as_it_stands(job):
    def work(job, lease):
        raise UserFacingError(
            "Not enough data: 3 rows.", code="not_enough_data", hint="Add examples."
        )

    jobs.run_job(str(job.id), work)
    job.refresh_from_db()
    assert (job.error_code, job.error_text) == (
        "not_enough_data",
        "Not enough data: 3 rows. Add examples.",
    )


def test_a_full_disk_is_said_so(job):
    def work(job, lease):
        raise OSError(errno.ENOSPC, "No space left on device")

    jobs.run_job(str(job.id), work)
    job.refresh_from_db()
    assert job.error_code == "disk_full"


def test_a_result_that_cannot_be_published_leaves_a_failed_job_and_no_half_result(job):
    def publish():
        QueueHealth.seen("half")
        raise RuntimeError

    jobs.run_job(str(job.id), lambda job, lease: publish)
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert not QueueHealth.objects.filter(queue="half").exists()


def test_who_lost_the_lease_publishes_nothing(job):
    published = []

    def work(job, lease):
        expire(job)
        tasks.reap()
        jobs.claim(str(job.id))  # another worker takes it
        return lambda: published.append(1)

    jobs.run_job(str(job.id), work)
    job.refresh_from_db()
    assert published == []
    assert (job.state, job.attempt, job.crash_count) == (State.RUNNING, 2, 1)


def test_progress_written_without_the_lease_stops_the_work(job):
    went_on = []

    def work(job, lease):
        Job.objects.filter(id=job.id).update(lease_token=uuid.uuid4())
        lease.progress(step=1, total_steps=1)
        went_on.append(1)
        return nothing

    jobs.run_job(str(job.id), work)
    assert went_on == []


def test_a_queued_job_is_cancelled_at_once(job):
    assert jobs.request_cancel(job)
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    jobs.run_job(str(job.id), lambda *_: pytest.fail("a cancelled job was run"))


def test_a_running_job_stops_at_its_next_look(job):
    def work(job, lease):
        assert jobs.request_cancel(job)
        lease.beat()
        lease.check()
        return nothing

    jobs.run_job(str(job.id), work)
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_an_ended_job_cannot_be_cancelled(job):
    jobs.run_job(str(job.id), lambda *_: nothing)
    assert not jobs.request_cancel(job)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED


def test_a_job_whose_worker_died_goes_back_to_its_queue_after_a_while(job):
    expire(jobs.claim(str(job.id)))
    OrmQ.objects.all().delete()
    assert tasks.reap() == 1
    job.refresh_from_db()
    assert (job.state, job.crash_count) == (State.QUEUED, 1)
    assert claims.claim_fairest("gpu") is None
    assert not OrmQ.objects.exists()
    Job.objects.update(not_before=timezone.now())
    assert tasks.reap() == 0
    assert OrmQ.objects.count() == 1
    assert claims.claim_fairest("gpu") == job


def test_a_job_that_kills_its_worker_three_times_fails(job):
    for _ in range(jobs.MAX_CRASHES):
        expire(jobs.claim(str(job.id)))
        tasks.reap()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "crash_loop")


def test_a_lost_wakeup_is_sent_again(job):
    OrmQ.objects.all().delete()
    Job.objects.update(hinted_at=timezone.now() - timedelta(minutes=5))
    tasks.reap()
    assert OrmQ.objects.count() == 1


def test_a_failed_job_is_requeued_as_a_new_one(job):
    with pytest.raises(UserFacingError):
        jobs.requeue(job)
    jobs.request_cancel(job)
    job.refresh_from_db()
    again = jobs.requeue(job)
    assert again.id != job.id
    assert (again.subject_id, again.state) == (job.subject_id, State.QUEUED)


def test_each_job_has_one_ending_in_its_story(job):
    jobs.run_job(str(job.id), lambda *_: nothing)
    jobs.request_cancel(job)
    tasks.reap()
    messages = list(job.events.values_list("message", flat=True))
    assert messages == ["Waiting for a worker.", "Started.", "Done."]


def expire(job):
    Job.objects.filter(id=job.id).update(lease_until=timezone.now() - timedelta(seconds=1))
