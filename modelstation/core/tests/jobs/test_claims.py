import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from modelstation import testing
from modelstation.core.jobs import jobs, tasks
from modelstation.core.jobs.claims import claim, claim_fairest
from modelstation.core.jobs.queue import WAKE, path_of, send_missing_wakeups
from modelstation.core.models import Job, JobEvent

pytestmark = pytest.mark.django_db

State = Job.State


@pytest.fixture
def other(db):
    return testing.make_org("Other")


def queued(org, **fields):
    return jobs.submit(kind="train", org=org, subject_id=uuid.uuid4(), **fields)


def end(job):
    Job.objects.filter(id=job.id).update(state=State.SUCCEEDED, lease_token=None, lease_until=None)


def run_in_turn(count):
    """Claim and end so many jobs of the gpu queue, one after another."""
    turn = []
    for _ in range(count):
        job = claim_fairest("gpu")
        turn.append(job)
        end(job)
    return turn


def test_jobs_of_one_organisation_run_oldest_first(org):
    some = [queued(org) for _ in range(3)]
    assert run_in_turn(3) == some


def test_a_hundred_queued_runs_of_one_delay_anothers_first_by_one_at_most(org, other):
    for _ in range(100):
        queued(org)
    run_in_turn(5)
    running = claim_fairest("gpu")
    theirs = queued(other)
    end(running)
    assert claim_fairest("gpu") == theirs


def test_organisations_take_turns(org, other):
    ours, theirs = [queued(org) for _ in range(3)], [queued(other) for _ in range(3)]
    assert run_in_turn(6) == [job for pair in zip(ours, theirs, strict=True) for job in pair]


def test_higher_priority_goes_first_whoever_asks(org, other):
    queued(other)
    urgent = queued(org, priority=5)
    assert run_in_turn(1) == [urgent]


def test_an_organisation_with_its_share_running_waits(org, settings):
    settings.ORG_JOBS_AT_ONCE = {"gpu": 2}
    some = [queued(org) for _ in range(3)]
    assert [claim_fairest("gpu"), claim_fairest("gpu"), claim_fairest("gpu")] == [*some[:2], None]
    end(some[0])
    assert claim_fairest("gpu") == some[2]


def test_the_share_counts_each_queue_by_itself(org, settings):
    settings.ORG_JOBS_AT_ONCE = {"gpu": 1, "distil": 1}
    queued(org)
    jobs.submit(kind="distil", org=org, subject_id=uuid.uuid4())
    assert claim_fairest("gpu") is not None
    assert claim_fairest("distil") is not None


def test_a_job_in_backoff_is_passed_over(org):
    first, second = queued(org), queued(org)
    Job.objects.filter(id=first.id).update(not_before=timezone.now() + timedelta(minutes=1))
    assert claim_fairest("gpu") == second
    assert claim_fairest("gpu") is None


@pytest.mark.django_db(transaction=True)
def test_the_share_holds_and_no_job_is_taken_twice_when_many_claim_at_once(org, other, settings):
    settings.ORG_JOBS_AT_ONCE = {"gpu": 2}
    for _ in range(5):
        queued(org)
        queued(other)
    taken, gate = [], threading.Barrier(8)

    def take():
        gate.wait()
        taken.append(claim_fairest("gpu"))
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed = [job for job in taken if job]
    assert len({job.id for job in claimed}) == len(claimed) == 4
    assert sorted(job.org.name for job in claimed) == ["Acme", "Acme", "Other", "Other"]


@pytest.mark.django_db(transaction=True)
def test_a_claim_does_not_wait_for_a_job_that_somebody_holds_locked(org):
    from django.db import transaction

    first, second = queued(org), queued(org)
    taken = []

    def take():
        taken.append(claim_fairest("gpu"))
        connection.close()

    with transaction.atomic():
        Job.objects.select_for_update().get(id=first.id)
        thread = threading.Thread(target=take)
        thread.start()
        thread.join(timeout=20)
    assert taken == [second]


def run_wakeup(job, monkeypatch, ran):
    """As a worker does that got this job's wakeup; it runs whichever job it claims."""
    monkeypatch.setattr("training.tasks.run_training", lambda job: (ran.append(job), end(job)))
    tasks.wake(str(job.id))


def test_a_wakeup_runs_the_job_whose_turn_it_is(org, other, monkeypatch):
    ran = []
    first, second = queued(org), queued(org)
    theirs = queued(other)
    run_wakeup(first, monkeypatch, ran)
    run_wakeup(second, monkeypatch, ran)
    assert ran == [first, theirs]
    run_wakeup(theirs, monkeypatch, ran)
    assert ran == [first, theirs, second]


def test_a_wakeup_of_a_deleted_job_wakes_for_nothing(org, monkeypatch):
    ran = []
    job = queued(org)
    Job.objects.all().delete()
    run_wakeup(job, monkeypatch, ran)
    assert ran == []


def test_a_wakeup_with_nothing_to_run_is_made_up_for_when_a_job_ends(org, monkeypatch, settings):
    settings.ORG_JOBS_AT_ONCE = {"gpu": 1, "distil": 1, "default": 1}
    ran = []
    running, waiting = queued(org), queued(org)
    claim(running.id)
    run_wakeup(waiting, monkeypatch, ran)
    OrmQ.objects.all().delete()  # both wakeups are used up
    end(running)
    another = queued(org)
    OrmQ.objects.all().delete()
    run_wakeup(another, monkeypatch, ran)
    assert ran == [waiting]
    assert OrmQ.objects.count() == 1


def test_wakeups_are_not_sent_twice_however_often_one_looks(org):
    queued(org)
    queued(org)
    for _ in range(5):
        tasks.reap()
    assert OrmQ.objects.count() == 2


def test_a_wakeup_that_a_dead_worker_took_along_is_sent_again(org):
    queued(org)
    OrmQ.objects.update(lock=timezone.now() + timedelta(days=7))
    assert send_missing_wakeups("gpu") == 1


def test_a_queue_gets_no_more_wakeups_than_jobs_that_may_start(org, other, settings):
    settings.ORG_JOBS_AT_ONCE = {"gpu": 2}
    for _ in range(10):
        queued(org)
    queued(other)
    claim_fairest("gpu")
    OrmQ.objects.all().delete()
    assert send_missing_wakeups("gpu") == OrmQ.objects.count() == 2


def test_no_wakeup_is_sent_for_a_job_that_may_not_run(org):
    job = queued(org)
    OrmQ.objects.all().delete()
    Job.objects.filter(id=job.id).update(not_before=timezone.now() + timedelta(minutes=1))
    assert send_missing_wakeups("gpu") == 0


def test_one_key_is_one_job_per_organisation_and_kind(org, other):
    first = queued(org, idempotency_key="k")
    assert queued(org, idempotency_key="k") == first
    assert queued(other, idempotency_key="k") != first
    assert queued(org) != queued(org)
    assert first.events.count() == OrmQ.objects.filter().count() - 3 == 1


def test_a_zombie_emits_no_event(org):
    from modelstation.core.jobs.lease import Lease, LeaseLost

    lease = Lease(claim(queued(org).id))
    lease.log("mine")
    Job.objects.update(lease_token=uuid.uuid4())
    for emit in (lease.log, lambda text: lease.stage("x", text), lambda _: lease.beat()):
        with pytest.raises(LeaseLost):
            emit("too late")
    assert not JobEvent.objects.filter(message="too late").exists()


def test_canaries_that_piled_up_behind_a_long_job_are_dropped(org):
    from modelstation.core.jobs.queue import enqueue

    for _ in range(5):
        enqueue(tasks.canary, "gpu", queue="gpu")
    enqueue(tasks.canary, "distil", queue="distil")
    job = queued(org)
    tasks.canary("gpu")
    left = {(wakeup.key, wakeup.func()) for wakeup in OrmQ.objects.all()}
    assert left == {("distil", path_of(tasks.canary)), (job.queue, WAKE)}


def test_a_wakeup_that_a_canary_was_taken_for_is_sent_when_the_canary_runs(org):
    from modelstation.core.jobs.queue import enqueue

    queued(org)
    OrmQ.objects.all().delete()
    enqueue(tasks.canary, "gpu", queue="gpu")
    tasks.reap()
    assert OrmQ.objects.get().func() == path_of(tasks.canary)
    tasks.canary("gpu")
    assert OrmQ.objects.get().func() == WAKE
