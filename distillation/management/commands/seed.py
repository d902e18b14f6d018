"""Load and embed sources into the corpus, by name (see corpus/sources.toml), file or folder.

    manage.py seed starter
    manage.py seed rows.jsonl corpus/
    manage.py seed tickets.csv --columns user=Frage,assistant=Antwort --license CC0-1.0

Loading again adds nothing; an interrupted load goes on where it stopped.
"""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from distillation.corpus.nearest import EXACT_SEARCH_ROWS, index_is_wanted
from distillation.corpus.quality import flag_text
from distillation.corpus.sources import named_origin, source_names
from distillation.imports.loading import Origin, file_origin, load
from distillation.imports.reading.errors import ImportRefused
from distillation.imports.reading.readers import KNOWN_KINDS, is_known
from distillation.imports.reading.rows import Inspection, ReadOptions
from distillation.imports.reading.shapes import ColumnMapping
from distillation.models import ImportRun
from modelstation.core.commands import PlainCommand

SHOWN_ERRORS = 10


class RowsPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} rows/s" if speed else "")


class Command(PlainCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", nargs="*", metavar="NAME|PATH")
        parser.add_argument("--all", action="store_true", help="every source of sources.toml")
        parser.add_argument("--source", default="", help="put all rows under this source name")
        parser.add_argument("--license", default="", help="the rows' licence, whatever they say")
        parser.add_argument("--limit", type=int, help="load the first N usable rows of each")
        parser.add_argument("--columns", default="", help="user=…,assistant=…[,system=…,context=…]")
        parser.add_argument("--clean-markup", action="store_true", help="HTML to text")
        parser.add_argument("--redact", action="store_true", help="personal data to its kind")

    def handle(self, *, what: list[str], limit: int | None, **options: Any) -> None:
        if limit is not None and limit < 1:
            raise CommandError("--limit is a number from 1 on; leave it out to load all rows.")
        self.console = Console(file=getattr(self.stdout, "_out", None))
        read = ReadOptions(
            source=options["source"],
            license=options["license"],
            columns=parse_columns(options["columns"]),
            clean_markup=options["clean_markup"],
            redact=options["redact"],
        )
        try:
            origins = origins_of(source_names() if options["all"] else what, read)
            # All are looked at before any is loaded: a refusal comes at once, not after an hour.
            for origin, look in [(origin, origin.inspect()) for origin in origins]:
                self.load_one(origin, look, limit)
            self.suggest_index()
        except ImportRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        except KeyboardInterrupt as interrupt:
            message = "Stopped. What is loaded stays; run the same command to go on."
            raise CommandError(message) from interrupt

    def load_one(self, origin: Origin, look: Inspection, limit: int | None) -> None:
        started = time.monotonic()
        total = min(look.read, limit or look.read)
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RowsPerSecond(),
            TimeRemainingColumn(),
            console=self.console,
        ) as progress:
            bar = progress.add_task(origin.name, total=total)
            run = load(
                origin, limit=limit, look=look, on_rows=lambda rows: progress.advance(bar, rows)
            )
        self.report(run, look, time.monotonic() - started)

    def report(self, run: ImportRun, look: Inspection, seconds: float) -> None:
        self.stdout.write(
            f"{run.origin}: {run.rows_read:,} rows read, {run.rows_added:,} added, "
            f"{run.rows_duplicate:,} there already, {run.rows_rejected:,} left out "
            f"({seconds:.1f} s, {run.rows_added / max(seconds, 1e-9):,.0f} rows/s)"
        )
        for flag, count in look.flags.items():
            self.stdout.write(f"  {count:,} rows: {flag_text(flag)}")
        for error in look.errors[:SHOWN_ERRORS]:
            self.stdout.write(f"  left out: {error}")
        if look.rejected > SHOWN_ERRORS:
            self.stdout.write(f"  … and {look.rejected - SHOWN_ERRORS:,} more left out")

    def suggest_index(self) -> None:
        if index_is_wanted():
            self.stdout.write(
                f"The corpus has more than {EXACT_SEARCH_ROWS:,} rows. Selection finds them "
                "quicker with an index: python manage.py index_corpus"
            )


def origins_of(what: list[str], options: ReadOptions) -> list[Origin]:
    known = source_names()
    if not what:
        raise CommandError(f"Say what to load: a file, a folder, or one of {', '.join(known)}.")
    origins = []
    for name in what:
        if name in known:
            origins.append(named_origin(name))
        else:
            origins += [file_origin(path, options) for path in files_of(Path(name), known)]
    return origins


def files_of(path: Path, known: list[str]) -> list[Path]:
    if not path.exists():
        raise CommandError(
            f"{path}: no such file or folder, and no source of that name "
            f"(there are {', '.join(known)})."
        )
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and is_known(file))
    if not files:
        raise CommandError(f"{path}: no file in this folder is one of {KNOWN_KINDS}.")
    return files


def parse_columns(text: str) -> ColumnMapping | None:
    if not text:
        return None
    try:
        columns: dict[str, Any] = dict(pair.split("=", 1) for pair in text.split(","))
        return ColumnMapping(**columns)
    except (TypeError, ValueError) as error:
        raise CommandError(
            "--columns is written user=COLUMN,assistant=COLUMN; system and context may follow."
        ) from error
