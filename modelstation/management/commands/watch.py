"""Watch a run, or a model's whole build, in the terminal.

    manage.py watch 0191c2d4-…            a run, a job or a model by its id
    manage.py watch acme/bank-intents     a model by its organisation and its name in addresses
    manage.py watch --json RUN | jq …     one JSON object per event

Ends with the work: exit code 0 when it succeeded, 1 when it failed, 2 when it was cancelled.
Ctrl-C ends the watching, not the work.
"""

import os
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console

from modelstation.core.commands import PlainCommand
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.events import Story
from modelstation.site import journey
from modelstation.site.terminal import Display, JsonLines, display_for

INTERRUPTED = 130


class Command(PlainCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", help="id of a run, job or model, or ORGANISATION/MODEL")
        parser.add_argument("--once", action="store_true", help="show how it stands, and end")
        parser.add_argument("--json", action="store_true", help="one JSON object per event")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            story = journey.find_story(options["what"])
        except UserFacingError as error:
            raise CommandError(error.text) from error
        console = Console(file=sys.stdout)
        display = JsonLines(console) if options["json"] else display_for(console)
        try:
            _watch(story, display, once=options["once"])
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads any more
            sys.exit(0)
        if not options["json"]:
            _say_how_it_stands(story, console)
        sys.exit(journey.exit_code_of(story))


def _watch(story: Story, display: Display, *, once: bool) -> None:
    try:
        for beat in journey.follow(story):
            display.show(beat)
            if once and not beat.events:
                return
    finally:
        display.close()


def _say_how_it_stands(story: Story, console: Console) -> None:
    if job := journey.job_at_work(story):
        line = journey.end_line(job)
        if job.is_live and job.figures.total_steps:
            line = f"{job.kind} is {job.state}: {journey.progress_line(job)}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
