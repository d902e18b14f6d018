"""`manage.py setup`: bring an installation to a state in which everything works."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from rich.console import Console

from modelstation.core.commands import PlainCommand
from modelstation.site import installation

STEPS: dict[str, Callable[[], object]] = {
    "Database schema": installation.prepare_schema,
    "Base models": installation.prepare_bases,
    "Schedules": installation.prepare_schedules,
    "Starter corpus": installation.prepare_starter_corpus,
}
if settings.DEVELOPMENT:  # never an account with known ways in, in production
    STEPS["Demo organisation"] = installation.prepare_demo


class Command(PlainCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--weights-only", action="store_true", help="only put the offline weights in place"
        )

    def handle(self, *args: Any, weights_only: bool = False, **options: Any) -> None:
        if weights_only:
            installation.prepare_weights()
        else:
            console = Console()
            for name, step in STEPS.items():
                console.print(f"[bold]{name}[/bold] …")
                step()
