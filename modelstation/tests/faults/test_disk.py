"""Disks that fill up, and checkpoints that are not what they were."""

import os
import subprocess

import pytest

from modelstation.core.jobs import jobs
from modelstation.core.models import Job

pytestmark = pytest.mark.faults
State = Job.State


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("A small file system can be mounted by root only, and not in every container.")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_at_a_checkpoint_ends_the_run_and_leaves_no_half_one(
    house, org, small_disk
):
    house.start_workers()
    job = house.submit(org, checkpoints_dir=str(small_disk), padding=100_000)
    house.wait_for_end(job)
    assert (job.state, job.error_code) == (State.FAILED, "disk_full")
    assert not list(small_disk.glob(".*"))
    house.assert_invariants()
    house.stop()


def test_a_worker_says_that_the_disk_is_full(house, org):
    def full(job, lease):
        with open("/dev/full", "w") as stream:
            stream.write("x" * 10_000)

    job = house.submit(org)
    jobs.run_job(str(job.id), full)
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "disk_full")


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "no_manifest"])
def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(house, org, damage):
    keeper = house.start_workers()
    job = house.submit(org, step_seconds=0.1)
    house.wait_for_step(job, 12)
    house.kill_everything()
    keeper.wait()
    root = house.checkpoints_of(job)
    newest = sorted(root.glob("step-*"))[-1]
    _damage(newest, damage)
    house.kills[job.id] += 2  # the kill, and the checkpoint that was lost
    house.start_workers()
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED, house.tail()
    resumed_at = min(step for attempt, step in house.steps_of(job) if attempt > 1)
    assert resumed_at == int(newest.name.split("-")[1]) - 5 + 1
    house.assert_invariants()
    house.stop()


def _damage(checkpoint, how):
    state = checkpoint / "state.json"
    content = state.read_bytes()
    if how == "truncate":
        state.write_bytes(content[:10])
    elif how == "flip":
        state.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    elif how == "delete":
        state.unlink()
    else:
        (checkpoint / "manifest.json").unlink()
