"""Workers of a queue: a keeper, the cluster of django-q2 that it starts, and that cluster's broker.

Stock clusters are as correct, for the Job row is the truth; but a worker that is killed while it
waits takes a lock with it, and its successor waits for ever (the processes look healthy); workers
outlive a sentinel that is killed; a SIGTERM waits for the running task; and the pusher takes the
next message while the worker is busy with the last. Here any death that nobody ordered ends the
cluster, nothing outlives it, a SIGTERM reaches the job that runs, and a message is taken by who
can work on it. The keeper starts the cluster anew, sends canaries and reaps. It runs no job, so
nothing a job does can end it."""

import logging
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from multiprocessing.process import BaseProcess
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django_q.brokers.orm import ORM
from django_q.cluster import Sentinel, get_mp_context
from django_q.conf import Conf
from django_q.worker import worker

from modelstation.core.jobs.claims import cluster_name
from modelstation.core.jobs.health import queues_alive_within
from modelstation.core.jobs.queue import enqueue
from modelstation.core.jobs.supervisor import die_with_parent, name_process
from modelstation.core.jobs.tasks import canary, reap
from modelstation.core.models import Job

logger = logging.getLogger("modelstation.workers")

EXIT_BROKEN = 70  # EX_SOFTWARE
STOP_SECONDS = 5.0
PICK_UP_SECONDS = 5.0  # from the pusher to a worker that claims the message's job
LOOK_SECONDS = 0.5
FIRST_BACKOFF, LAST_BACKOFF = 1.0, 30.0
STABLE_SECONDS = 60.0  # a cluster that lived so long did not fail at its start


class Flag:
    """An Event that is safe to set from a signal handler."""

    _is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._is_set and time.monotonic() < deadline:
            time.sleep(0.05)
        return self._is_set


# --- The broker: the stock one, without prefetch --------------------------------------------------


class UnhurriedBroker(ORM):  # type: ignore[misc]
    in_hand: int | None = None  # the message that was handed out last
    handed_out_at = 0.0

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        return ORM.get_connection(list_key).order_by("id")

    def dequeue(self) -> list[tuple[int, str]] | None:
        if self._is_busy():
            time.sleep(Conf.POLL)
            return None
        taken: list[tuple[int, str]] | None = super().dequeue()
        if taken:
            self.in_hand, self.handed_out_at = taken[0][0], time.monotonic()
        return taken

    def _is_busy(self) -> bool:
        """Return whether the message in hand is worked on: until it is acknowledged, unless the
        worker died with it. Then no job of this cluster has a lease, once the reaper has run."""
        if self.in_hand is None or not self.get_connection().filter(id=self.in_hand).exists():
            return False
        if time.monotonic() - self.handed_out_at < PICK_UP_SECONDS:
            return True
        owner = cluster_name(os.getppid())
        return Job.objects.filter(state=Job.State.RUNNING, lease_owner__startswith=owner).exists()


# --- The cluster ----------------------------------------------------------------------------------


class FailFastSentinel(Sentinel):  # type: ignore[misc]
    exit_code = 0

    def spawn_process(self, target: Callable[..., None], *args: Any) -> Any:
        process: Any = get_mp_context().Process(
            target=_mortal, args=(target, *args), name=f"Process-{uuid.uuid4().hex}", daemon=True
        )
        if target is worker:
            process.timer = args[2]
            self.pool.append(process)
        process.start()
        return process

    def reincarnate(self, process: BaseProcess) -> None:
        """Replace a process that ended by itself (recycled, or the pusher without a database). One
        that was killed may have held a lock: the whole cluster goes with it."""
        if process.exitcode in (0, None):
            super().reincarnate(process)
            return
        logger.critical("%s died (exit code %s): restarting", process.name, process.exitcode)
        self.exit_code = EXIT_BROKEN
        self.stop_event.set()

    def stop(self) -> None:
        """Drain the worker, then end the rest. The stock way would wait for what may never come."""
        self.pusher.kill()
        for process in self.pool:
            process.terminate()  # an idle worker ends; a job stops in order, and its worker after
        _wait_for(self.pool, settings.DRAIN_SECONDS + STOP_SECONDS)
        self.result_queue.put("STOP")
        _wait_for([self.monitor], STOP_SECONDS)
        for process in (*self.pool, self.monitor):
            process.kill()


def _mortal(target: Callable[..., None], *args: Any) -> None:
    name_process(f"q-{target.__name__}")
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    target(*args)


def _wait_for(processes: Iterable[BaseProcess], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))


def run_cluster() -> int:
    """Run until a SIGTERM, or until something breaks; return the exit code."""
    stop = Flag()
    name_process("q-sentinel")
    reap()
    sentinel = FailFastSentinel(stop, Flag(), uuid.uuid4(), start=False)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sentinel.start()
    return sentinel.exit_code


# --- The keeper -----------------------------------------------------------------------------------


def keep(queue: str) -> None:
    """Run until SIGTERM or Ctrl-C; then the running job drains."""
    stop = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    backoff = FIRST_BACKOFF
    while not stop.is_set():
        began = time.monotonic()
        cluster = _start(queue)
        _watch(cluster, queue, stop)
        _end(cluster)
        if stop.is_set():
            return
        backoff = FIRST_BACKOFF if time.monotonic() - began > STABLE_SECONDS else backoff
        logger.error("%s workers ended with %s: restarting", queue, cluster.returncode)
        stop.wait(backoff)
        backoff = min(LAST_BACKOFF, backoff * 2)


def _start(queue: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "run_worker", queue, "--no-keeper"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "Q_CLUSTER_NAME": queue},
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # it drains should the keeper be killed
    )


def _watch(cluster: subprocess.Popen[bytes], queue: str, stop: Flag) -> None:
    """Return when the cluster has ended, hangs, or is to stop."""
    round_at = alive_at = time.monotonic()
    while not stop.wait(LOOK_SECONDS) and cluster.poll() is None:
        if time.monotonic() - round_at < settings.REAP_SECONDS:
            continue
        round_at = time.monotonic()
        if _go_round(queue):
            alive_at = round_at
        elif round_at - alive_at > settings.HUNG_SECONDS:
            logger.critical("%s answers no canary: restarting", queue)
            return


def _go_round(queue: str) -> bool:
    """Reap, and send a canary if need be; return False when the last was not answered. A database
    that is away is nothing that the workers could help."""
    try:
        reap()
        is_alive = queue in queues_alive_within(timedelta(seconds=2 * settings.REAP_SECONDS))
        if queue not in queues_alive_within(timedelta(seconds=settings.REAP_SECONDS / 2)):
            enqueue(canary, queue, queue=queue)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("the database is away: %s", error)
        connection.close()
        return True
    return is_alive


def _end(cluster: subprocess.Popen[bytes]) -> None:
    """Drain, and leave no process of the cluster behind."""
    cluster.terminate()
    with suppress(subprocess.TimeoutExpired):
        cluster.wait(settings.DRAIN_SECONDS + 3 * STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(cluster.pid, signal.SIGKILL)
    cluster.wait()
