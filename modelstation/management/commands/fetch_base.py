"""Put a base model in place: from the hub, or from a folder for installations that reach none.

manage.py fetch_base qwen3-0.6b --from /media/stick/Qwen3-0.6B
"""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from models_app.bases.fetching import take_from_folder, take_from_hub
from models_app.bases.offers import is_on_disk, mirror_catalogue
from modelstation.core.commands import PlainCommand
from modelstation.core.errors import UserFacingError
from modelstation.lm.bases.catalog import BASES


class Command(PlainCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        names, a_folder = sorted(BASES), "a folder with the files of its revision"
        parser.add_argument(
            "name", choices=names, metavar="NAME", help=f"of the catalogue: {', '.join(names)}"
        )
        parser.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help=a_folder)

    def handle(self, *args: Any, name: str, source: Path | None, **options: Any) -> None:
        console, base = Console(), BASES[name]
        mirror_catalogue()
        if is_on_disk(name):
            console.print(f"{name} is in place already.")
            return
        try:
            if source is not None:
                take_from_folder(base, source)
            else:
                console.print(f"Fetching {base.hub_id} at {base.revision[:12]} …")
                columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
                with Progress(*columns) as bar:
                    task = bar.add_task(name)
                    take_from_hub(base, lambda n, of: bar.update(task, completed=n, total=of))
        except UserFacingError as error:
            raise CommandError(error.text) from error
        console.print(f"{name} is ready in {settings.MODELS_DIR / name}.")
