"""What the commands of manage.py have in common: help that reads as it was written."""

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter


class AsWritten(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Examples keep their lines."""


class PlainCommand(BaseCommand):
    # They work as everywhere in Django; to somebody who looks for ours they are in the way.
    suppressed_base_arguments = {
        "--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color",
        "--force-color", "--skip-checks",
    }  # fmt: skip

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, **{"formatter_class": AsWritten} | options
        )
