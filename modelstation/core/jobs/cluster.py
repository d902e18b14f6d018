"""One cluster of django-q2 that fails fast, and tells its worker to drain.

Stock: a worker that is killed while it waits takes a lock with it, and its successor waits for ever
(the processes look healthy); workers outlive a sentinel that is killed; a SIGTERM waits for the
running task, untold. Here the sentinel is this process; any death it did not order ends the cluster
with a code that is not 0; nothing outlives it; and a SIGTERM reaches the job that runs."""

import logging
import signal
import time
import uuid
from collections.abc import Callable, Iterable
from multiprocessing.process import BaseProcess
from typing import Any

from django.conf import settings
from django_q.cluster import Sentinel, get_mp_context
from django_q.worker import worker

from modelstation.core.jobs.reaper import reap
from modelstation.core.jobs.supervisor import die_with_parent, name_process

logger = logging.getLogger("modelstation.workers")

EXIT_BROKEN = 70  # EX_SOFTWARE
STOP_SECONDS = 5.0


class Flag:
    """What the sentinel asks of an Event, and safe to set from a signal handler."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._is_set and time.monotonic() < deadline:
            time.sleep(0.05)
        return self._is_set


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
        """A process that ended by itself (recycled, or the pusher without a database) has its
        successor; one that was killed may have held a lock: the whole cluster goes with it."""
        if process.exitcode in (0, None):
            super().reincarnate(process)
            return
        logger.critical("%s died (exit code %s): restarting", process.name, process.exitcode)
        self.exit_code = EXIT_BROKEN
        self.stop_event.set()

    def stop(self) -> None:
        """Drain the worker, then end the rest. The stock way would wait for what may never
        come."""
        self.pusher.kill()
        for process in self.pool:
            process.terminate()  # an idle worker ends; a job is told, and its worker ends after it
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
    """Until a SIGTERM, or until something breaks; returns the exit code."""
    stop, started = Flag(), Flag()
    name_process("q-sentinel")
    reap()
    sentinel = FailFastSentinel(stop, started, uuid.uuid4(), start=False)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sentinel.start()
    return sentinel.exit_code
