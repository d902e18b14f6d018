"""`manage.py demo`: let the workers run the main job for the demo, once, and show its progress."""

import sys
from typing import Any

from rich.console import Console

from modelstation.core.commands import PlainCommand
from modelstation.site import installation, journey
from modelstation.site.terminal import Lines


class Command(PlainCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        model = installation.demo_model(installation.prepare_demo())
        lines = Lines(Console(file=sys.stdout))
        if model.is_live_work:
            for beat in journey.follow(journey.story_of(model)):
                lines.show(beat)
            model.refresh_from_db()
        self.stdout.write(journey.outcome_line(model))
        self.stdout.flush()
