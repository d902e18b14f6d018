"""A model's work in a terminal: its story as lines, its present stage as a progress bar."""

import threading
import time
import uuid
from types import TracebackType
from typing import Self

from django.db import connection
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from modelstation.core.models import Job, JobEvent
from modelstation.journey import detail_of, progress_line

REFRESH_SECONDS = 0.5
LINE_SECONDS = 15.0  # between lines where no bar can be drawn, as in a log file


class JobDisplay:
    """Reads the jobs' rows in a thread of its own, while the work goes on in the caller's."""

    def __init__(self, model_id: uuid.UUID, console: Console) -> None:
        self._model_id = model_id
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._bars: dict[str, TaskID] = {}
        self._seen = 0
        self._line_at = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._refresh_until_closed, daemon=True)

    def __enter__(self) -> Self:
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._thread.join()
        self._progress.stop()

    def _refresh_until_closed(self) -> None:
        try:
            while not self._closed.wait(REFRESH_SECONDS):
                self._refresh()
            self._refresh()
        finally:
            connection.close()

    def _refresh(self) -> None:
        events = JobEvent.objects.filter(job__subject_id=self._model_id, id__gt=self._seen)
        for event in events.select_related("job"):
            self._seen = event.id
            self._progress.console.print(
                f"[dim]{event.job.kind:>9}[/dim]  {event.message}", highlight=False
            )
        for job in Job.objects.filter(subject_id=self._model_id, state=Job.State.RUNNING):
            self._show(job)

    def _show(self, job: Job) -> None:
        total = job.progress.get("total_steps")
        if not total:
            return
        if not self._progress.console.is_terminal:
            self._print_now_and_then(job)
            return
        bar = self._bar_of(f"{job.kind}: {job.stage}")
        self._progress.update(
            bar, completed=job.progress["step"], total=total, detail=detail_of(job)
        )

    def _print_now_and_then(self, job: Job) -> None:
        if time.monotonic() - self._line_at >= LINE_SECONDS:
            self._line_at = time.monotonic()
            self._progress.console.print(f"{job.kind:>9}  {progress_line(job)}", highlight=False)

    def _bar_of(self, name: str) -> TaskID:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, detail="")
        return self._bars[name]
