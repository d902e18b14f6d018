"""`manage.py demo`: run the main job once for the demo organisation, by the workers, and tell its
progress.
"""

from typing import Any

from django.core.management.base import BaseCommand

from modelstation import installation, journey


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        model = installation.demo_model(installation.prepare_demo())
        if model.is_live_work:
            model = journey.follow(model.id, self._say)
        self._say(journey.outcome_line(model))

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
