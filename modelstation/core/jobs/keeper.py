"""The keeper of one queue's workers: starts their cluster, starts it anew whenever it breaks, sends
canaries and reaps. It runs no job, so nothing a job does can end it; the kernel tells the cluster
to drain should the keeper itself be killed."""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from modelstation.core.jobs.cluster import STOP_SECONDS, Flag
from modelstation.core.jobs.health import queues_alive_within
from modelstation.core.jobs.queue import enqueue
from modelstation.core.jobs.reaper import reap
from modelstation.core.jobs.supervisor import die_with_parent
from modelstation.core.jobs.tasks import CANARY

logger = logging.getLogger("modelstation.workers")

LOOK_SECONDS = 0.5
FIRST_BACKOFF, LAST_BACKOFF = 1.0, 30.0
STABLE_SECONDS = 60.0  # a cluster that lived so long did not fail at its start


def keep(queue: str) -> None:
    """Until SIGTERM or Ctrl-C; then the running job drains."""
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
        preexec_fn=lambda: die_with_parent(signal.SIGTERM),
    )


def _watch(cluster: subprocess.Popen[bytes], queue: str, stop: Flag) -> None:
    """Returns when the cluster has ended, hangs, or is to stop."""
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
    """Reap, and send a canary if need be; False when the last was not answered. A database that is
    away is nothing that the workers could help."""
    try:
        reap()
        is_alive = queue in queues_alive_within(timedelta(seconds=2 * settings.REAP_SECONDS))
        if queue not in queues_alive_within(timedelta(seconds=settings.REAP_SECONDS / 2)):
            enqueue(CANARY, queue, queue=queue)
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
