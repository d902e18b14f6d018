"""A house whose processes are real and may be killed, and what must hold after every fault."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from django.db import connection

from modelstation import testing
from modelstation.core.artifacts import verify
from modelstation.core.jobs import jobs
from modelstation.core.models import Job, JobEvent
from modelstation.tests.faults.counter import expected_digest

QUICK = {
    "LEASE_SECONDS": "3",
    "HEARTBEAT_SECONDS": "0.5",
    "REAP_SECONDS": "0.5",
    "BACKOFF_SECONDS": "0.1",
    "DRAIN_SECONDS": "5",
    # A worker killed in the instant in which it holds its timer stops even the sentinel.
    "HUNG_SECONDS": "30",
    "LOG_LEVEL": "INFO",
}
WAIT_SECONDS = 90
# Loading lasts long enough for a test that polls to see it.
ASK = {"load_seconds": 0.5, "steps": 40, "step_seconds": 0.05, "checkpoint_every": 5}


class House:
    def __init__(self, folder):
        self.id = uuid.uuid4().hex
        self.folder = folder
        self.env = (
            database_env()
            | QUICK
            | {
                "FAULTS_ID": self.id,
                "FAULTS_ARTIFACTS": str(settings.ARTIFACTS_DIR),
                "DJANGO_SETTINGS_MODULE": "modelstation.tests.faults.settings",
                "SECRET_KEY": settings.SECRET_KEY,
                "OMP_NUM_THREADS": "1",
            }
        )
        self.asked = {}
        self.kills = Counter()  # per job: how often its child or worker was killed

    def start(self, *arguments, **env):
        log = (self.folder / "house.log").open("ab")
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=testing.REPOSITORY,
            env=self.env | env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def start_workers(self, queue="gpu", **env):
        """A keeper and its cluster; returns when they stand."""
        keeper = self.start("run_worker", queue, **env)
        self.wait_until(lambda: self.role(keeper, "q-pusher") and self.role(keeper, "q-worker"))
        return keeper

    def submit(self, org, *, key="", **ask):
        subject = uuid.uuid4()
        root = settings.ARTIFACTS_DIR / str(subject)
        root.mkdir(parents=True)
        (root / "ask.json").write_text(json.dumps(ASK | ask | {"org": str(org.id)}))
        job = jobs.submit(kind="count", org=org, subject_id=subject, idempotency_key=key)
        self.asked[job.id] = ASK | ask
        return job

    # --- Looking ---

    def processes(self):
        """Every process of this house, by the mark in its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("FAULTS_ID") == self.id and is_alive(process):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def role(self, keeper, name):
        try:
            below = psutil.Process(keeper.pid).children(recursive=True)
        except psutil.Error:
            return None
        return next((process for process in below if has_name(process, name)), None)

    def children(self, job):
        """The counting processes of a job."""
        return [p for p in self.processes() if any(str(job.id) in part for part in cmdline(p))]

    def child(self, job):
        return next(iter(self.children(job)), None)

    def steps_of(self, job):
        """(attempt, step) of every step that was ever made."""
        log = settings.ARTIFACTS_DIR / str(job.subject_id) / "steps.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [tuple(map(int, line.split())) for line in lines]

    def checkpoints_of(self, job):
        return settings.ARTIFACTS_DIR / str(job.subject_id) / "checkpoints"

    # --- Waiting ---

    def wait_until(self, condition, seconds=WAIT_SECONDS):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.05)
        pytest.fail(f"it did not happen within {seconds} s\n{self.tail()}")
        return None

    def wait_for_role(self, keeper, name):
        """A worker of the gpu queue ends after each task, and canaries are tasks: for half a second
        there is none, until the sentinel has looked and started the next."""
        return self.wait_until(lambda: self.role(keeper, name))

    def wait_for_step(self, job, step):
        self.wait_until(lambda: any(made >= step for _, made in self.steps_of(job)))

    def wait_for_state(self, job, *states):
        def reached():
            job.refresh_from_db()
            return job.state in states

        self.wait_until(reached)

    def wait_for_end(self, *some):
        self.wait_until(
            lambda: (
                not Job.objects.filter(
                    id__in=[job.id for job in some], state__in=Job.LIVE_STATES
                ).exists()
            )
        )
        for job in some:
            job.refresh_from_db()

    def tail(self):
        path = self.folder / "house.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-60:])

    # --- Ending ---

    def stop(self):
        """SIGTERM to all that the test started; then nothing may be left."""
        for process in self.processes():
            if process.ppid() == os.getpid():
                process.terminate()
        self.wait_until(lambda: not self.processes(), 30)

    def kill_everything(self):
        for process in self.processes():
            try:
                process.kill()
            except psutil.Error:
                continue
        self.wait_until(lambda: not self.processes(), 30)

    def assert_invariants(self):
        stored = {job.id: job for job in Job.objects.filter(id__in=self.asked)}
        assert set(stored) == set(self.asked), "a submit that was acknowledged is gone"
        for job in stored.values():
            assert_one_ending(job)
            assert_story_has_no_gap(job)
            assert_artifacts(job, self.asked[job.id])
            assert_little_was_lost(self, job)
            if not job.is_live:
                assert not self.children(job), "the child of an ended job lives"


def assert_one_ending(job):
    endings = [
        event
        for event in job.events.all()
        if event.kind == JobEvent.Kind.ERROR
        or (event.kind == JobEvent.Kind.STATE and event.message.startswith(("Done", "Cancelled")))
    ]
    assert len(endings) == (0 if job.is_live else 1), [event.message for event in endings]
    assert (job.lease_token is None) == (job.state != Job.State.RUNNING)


def assert_story_has_no_gap(job):
    assert list(job.events.values_list("seq", flat=True)) == list(range(1, job.event_count + 1))


def assert_artifacts(job, ask):
    """Published bytes are those of the manifest and of an undisturbed run; nothing else is left."""
    root = settings.ARTIFACTS_DIR / str(job.subject_id)
    assert json.loads((root / "ask.json").read_text())["org"] == str(job.org_id)
    versions = list((root / "versions").glob("*"))
    assert job.is_live or not list(root.rglob(".*")), "a temporary folder was left"
    if job.state == Job.State.SUCCEEDED:
        folder = Path(job.progress["folder"])
        verify(folder)
        assert (folder / "digest").read_text() == expected_digest(ask["steps"])
        assert versions == [folder]
    elif not job.is_live:
        assert versions == []
        assert list((root / "jobs").glob("*")) == []


def assert_little_was_lost(house, job):
    """Each kill costs one checkpoint interval at most."""
    ask = house.asked[job.id]
    made = len(house.steps_of(job))
    allowed = house.kills[job.id] * ask["checkpoint_every"]
    assert made <= ask["steps"] + allowed, f"{made - ask['steps']} steps were made again"


def database_env():
    options = connection.settings_dict
    host = options["HOST"] or options["OPTIONS"].get("host", "")
    return {
        **os.environ,
        "DATABASE_URL": f"postgresql://{options['USER']}@/{options['NAME']}?host={host}",
    }


def is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def has_name(process, name):
    try:
        return process.name() == name and is_alive(process)
    except psutil.Error:
        return False


def cmdline(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []
