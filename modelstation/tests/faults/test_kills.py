"""kill -9 of everything that can be killed, while it works and while it waits."""

import signal

import pytest

from modelstation.core.models import Job

State = Job.State


def test_short_form_kills_of_child_worker_and_idle_worker_cost_one_checkpoint_at_most(house, org):
    """The short form that `make test` runs."""
    keeper = house.start_workers()
    house.wait_for_role(keeper, "q-worker").kill()  # idle: it holds the lock of the task queue
    job = house.submit(org)
    house.wait_for_step(job, 7)
    house.child(job).kill()
    house.kills[job.id] += 1
    house.wait_for_step(job, 17)
    house.wait_for_role(keeper, "q-worker").kill()
    house.kills[job.id] += 1
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED, house.tail()
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
@pytest.mark.parametrize("role", ["q-worker", "q-sentinel", "q-pusher", "q-monitor"])
def test_workers_of_which_an_idle_one_is_killed_still_work(house, org, role):
    keeper = house.start_workers()
    house.wait_for_role(keeper, role).kill()
    jobs = [house.submit(org, steps=5), house.submit(org, steps=5)]
    house.wait_for_end(*jobs)
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
@pytest.mark.parametrize("role", ["q-worker", "q-sentinel", "q-pusher", "q-monitor", "child"])
@pytest.mark.parametrize("stage", ["load", "train", "export"])
def test_a_kill_at_each_stage_is_survived(house, org, role, stage):
    keeper = house.start_workers()
    job = house.submit(org, export_seconds=1)
    house.wait_until(lambda: Job.objects.filter(id=job.id, stage=stage).exists())
    (house.child(job) if role == "child" else house.wait_for_role(keeper, role)).kill()
    house.kills[job.id] += 1
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED, house.tail()
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
def test_a_killed_keeper_leaves_no_orphan_and_its_job_goes_on_elsewhere(house, org):
    keeper = house.start_workers()
    job = house.submit(org)
    house.wait_for_step(job, 7)
    keeper.kill()
    keeper.wait()
    house.wait_until(lambda: not house.processes())
    house.start_workers()
    house.wait_for_end(job)
    assert (job.state, job.crash_count) == (State.SUCCEEDED, 0)
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
def test_a_worker_that_hangs_is_replaced_although_all_its_processes_live(house, org):
    keeper = house.start_workers(HUNG_SECONDS="10", DRAIN_SECONDS="1")
    hung = house.wait_for_role(keeper, "q-worker")
    hung.send_signal(signal.SIGSTOP)
    job = house.submit(org, steps=3)
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED
    assert not hung.is_running()
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
def test_a_worker_that_slept_longer_than_its_lease_writes_nothing_when_it_wakes(house, org):
    sleeper = house.start_workers()
    job = house.submit(org, steps=60)
    house.wait_for_step(job, 7)
    asleep = [house.wait_for_role(sleeper, "q-worker"), house.child(job)]
    for process in asleep:
        process.send_signal(signal.SIGSTOP)
    house.kills[job.id] += 1
    house.start_workers()
    house.wait_until(lambda: Job.objects.filter(id=job.id, attempt=2, state="running").exists())
    told_before = {event.id for event in job.events.all()}
    for process in asleep:
        process.send_signal(signal.SIGCONT)
    house.wait_until(lambda: asleep[1].pid not in {p.pid for p in house.children(job)})
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED
    later = job.events.exclude(id__in=told_before)
    assert later.filter(message="Done.").count() == 1
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
def test_fifty_random_kills_in_one_run_are_survived(house, org):
    import random

    chance = random.Random(4)
    keeper = house.start_workers(BACKOFF_SECONDS="0.01", LEASE_SECONDS="1.5")
    job = house.submit(org, steps=400, step_seconds=0.04, checkpoint_every=2, load_seconds=0)
    for number in range(50):
        before = job.checkpoint_step

        def has_moved(before=before):
            job.refresh_from_db()
            return job.checkpoint_step > before and house.child(job)

        house.wait_until(has_moved)
        victims = [house.child(job), house.child(job), house.role(keeper, "q-worker")]
        victim = chance.choice([victim for victim in victims if victim])
        house.kills[job.id] += 1
        victim.kill()
        assert job.state == State.RUNNING, (number, house.tail())
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED, house.tail()
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
def test_a_poison_job_fails_and_the_next_one_runs(house, org):
    house.start_workers()
    poison = house.submit(org, kills_its_worker=True)
    segfault = house.submit(org, dies_at=3)
    good = house.submit(org, steps=5)
    house.wait_for_end(poison, segfault, good)
    assert [job.error_code for job in (poison, segfault, good)] == [
        "crash_loop",
        "child_crashed",
        "",
    ]
    house.kills[segfault.id] = 2
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
def test_a_child_that_beats_and_does_nothing_is_ended(house, org):
    house.start_workers(NO_PROGRESS_SECONDS="1")
    job = house.submit(org, hangs_at=3)
    house.wait_for_end(job)
    assert (job.state, job.error_code) == (State.FAILED, "no_progress")
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
def test_a_gpu_that_was_too_small_gets_a_smaller_batch_once(house, org):
    house.start_workers()
    job = house.submit(org, steps=5, too_large_at=3)
    house.wait_for_end(job)
    assert (job.state, job.overrides) == (State.SUCCEEDED, {"micro_batch_tokens": 256})
    assert job.events.filter(data=job.overrides).count() == 1
    house.kills[job.id] += 1
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
def test_everything_is_killed_and_restarted_with_twenty_jobs_in_all_states(house, org):
    from modelstation import testing
    from modelstation.core.jobs import jobs

    keeper = house.start_workers()
    others = [testing.make_org(f"Other {number}") for number in range(4)]
    some = [house.submit(others[n % 4], steps=10, step_seconds=0.02) for n in range(16)]
    paused, cancelled, poison, long_one = (
        house.submit(org, steps=10),
        house.submit(org, steps=10),
        house.submit(org, steps=10, dies_at=2),
        house.submit(org, steps=100),
    )
    jobs.request_pause(paused)
    jobs.request_cancel(cancelled)
    house.wait_until(lambda: Job.objects.filter(state="succeeded").count() >= 2)
    house.wait_until(lambda: Job.objects.filter(state="running").exists())
    house.kill_everything()
    keeper.wait()
    for job in Job.objects.exclude(state="succeeded"):
        house.kills[job.id] += 1
    house.start_workers()
    house.wait_for_end(*some, cancelled, poison, long_one)
    assert {job.state for job in (*some, long_one)} == {State.SUCCEEDED}
    assert (cancelled.state, poison.error_code) == (State.CANCELLED, "child_crashed")
    jobs.resume(paused)
    house.wait_for_end(paused)
    assert paused.state == State.SUCCEEDED
    house.kills[poison.id] += 3
    house.assert_invariants()
    house.stop()


@pytest.mark.faults
def test_sigterm_drains_a_running_job_without_counting_a_crash(house, org):
    keeper = house.start_workers()
    job = house.submit(org)
    house.wait_for_step(job, 7)
    keeper.terminate()
    assert keeper.wait(30) == 0
    job.refresh_from_db()
    assert (job.state, job.crash_count) == (State.QUEUED, 0)
    assert not house.processes()
    before = len(house.steps_of(job))
    house.start_workers()
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED
    assert len(house.steps_of(job)) == job.progress["total_steps"] >= before  # no step twice
    house.assert_invariants()
    house.stop()
