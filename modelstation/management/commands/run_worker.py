"""`manage.py run_worker QUEUE`: work off a queue until SIGTERM, whatever dies on the way.

A keeper starts the cluster (sentinel, worker, pusher, monitor) and starts it anew when one of them
is killed or no canary is answered. With --no-keeper it ends with a code that is not 0 instead."""

import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from modelstation.core.commands import PlainCommand
from modelstation.core.jobs.queue import QUEUES
from modelstation.core.jobs.workers import keep, run_cluster


class Command(PlainCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queue", choices=QUEUES)
        parser.add_argument(
            "--no-keeper", action="store_true", help="end when something breaks; others restart"
        )

    def handle(self, *args: Any, queue: str, no_keeper: bool, **options: Any) -> None:
        if not no_keeper:
            keep(queue)
        elif os.environ.get("Q_CLUSTER_NAME", "default") != queue:
            raise CommandError(f"Set Q_CLUSTER_NAME={queue} too: it is read before this command.")
        else:
            os._exit(run_cluster())  # no hook of multiprocessing waits for what was killed
