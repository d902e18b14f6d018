"""`manage.py check_queue QUEUE`: exit code 0 when a worker of the queue is alive.

For liveness probes. Alive means that a while ago it answered a canary or worked on a job, not that
it exists."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from modelstation.core.commands import PlainCommand
from modelstation.core.jobs.health import silent
from modelstation.core.jobs.queue import QUEUES


class Command(PlainCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queues", nargs="+", choices=QUEUES, metavar="queue")

    def handle(self, *args: Any, queues: list[str], **options: Any) -> None:
        for problem in (problems := silent(queues)):
            self.stderr.write(problem.message)
        sys.exit(1 if problems else 0)
