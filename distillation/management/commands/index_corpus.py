"""Build the index for search in a large corpus: `manage.py index_corpus`.

The corpus stays in use meanwhile. Below a million rows the index is not used: search is exact.
"""

import threading
from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.management.base import CommandError
from django.db import DatabaseError, OperationalError, connection
from rich.console import Console
from rich.progress import Progress

from distillation.corpus.nearest import CREATE_INDEX, EXACT_SEARCH_ROWS, INDEX, index_is_ready
from modelstation.core.commands import PlainCommand

SECONDS_BETWEEN_LOOKS = 1.0
PROGRESS = """
    SELECT phase, tuples_done, tuples_total FROM pg_stat_progress_create_index WHERE pid = %s
"""


class Command(PlainCommand):
    help = f"Build the vector index that search uses above {EXACT_SEARCH_ROWS:,} rows."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--memory", default="2GB", help="that Postgres may take (2GB)")
        parser.add_argument("--workers", type=int, default=2, help="beside the first (2)")

    def handle(self, *, memory: str, workers: int, **options: Any) -> None:
        with connection.cursor() as cursor:
            if index_is_ready(cursor):
                self.stdout.write(f"The index {INDEX} is there; new rows enter it by themselves.")
                return
            # What an interrupted building leaves is of no use, and slows every import.
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
            allow(cursor, memory, workers)
            cursor.execute("SELECT pg_backend_pid()")
            with Watch(cursor.fetchone()[0], Console(file=getattr(self.stdout, "_out", None))):
                self.build(cursor)
        self.stdout.write(self.style.SUCCESS(f"The index {INDEX} is ready."))

    def build(self, cursor: Any) -> None:
        try:
            cursor.execute(CREATE_INDEX.format(how="CONCURRENTLY"))
        except OperationalError as error:
            raise CommandError(
                f"Postgres could not build the index: {error}. If it ran out of shared memory, "
                "give its container more (shm_size), or try --workers 0 or less --memory."
            ) from error


def allow(cursor: Any, memory: str, workers: int) -> None:
    wanted = {"maintenance_work_mem": memory, "max_parallel_maintenance_workers": str(workers)}
    for name, value in wanted.items():
        try:
            cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
        except DatabaseError as error:
            last_report = str(error).splitlines()[0]
            message = f"Postgres does not take this: {last_report}. Write --memory 2GB --workers 2."
            raise CommandError(message) from error


class Watch:
    """A progress bar over what the server says of its work, through a connection of its own."""

    def __init__(self, pid: int, console: Console) -> None:
        self._pid = pid
        self._console = console
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _follow(self) -> None:
        parameters = connection.get_connection_params()
        del parameters["cursor_factory"], parameters["context"]
        with (
            psycopg.connect(**parameters, autocommit=True) as watching,
            Progress(console=self._console) as bar,
        ):
            task = bar.add_task("starting", total=None)
            while not self._done.wait(SECONDS_BETWEEN_LOOKS):
                row = watching.execute(PROGRESS, [self._pid]).fetchone()
                if row:
                    phase, done, total = row
                    bar.update(task, description=phase, completed=done, total=total or None)
