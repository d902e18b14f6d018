"""A job's story in a terminal: its log as lines, and below them, while it goes on, its curves, its
figures and how far it is. Plain lines where no screen can be drawn, JSON for programs."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import plotext
from django.db import connection
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from modelstation.core.charts import number
from modelstation.core.jobs.events import Story, facts_of
from modelstation.core.models import Job, JobEvent
from modelstation.site.journey import Beat, detail_of, end_line, follow, progress_line
from training.runs.curves import Point, points_of

LINE_SECONDS = 15.0  # between lines where no screen can be drawn, as in a log file
CURVE_SECONDS = 2.0
PLOT_HEIGHT = 8
AXIS_WIDTH = 10
BAR_WIDTH = 40


class Display(Protocol):
    def show(self, beat: Beat) -> None: ...
    def close(self) -> None: ...


def display_for(console: Console) -> Display:
    return Screen(console) if console.is_terminal else Lines(console)


class Lines:
    _line_at = 0.0

    def __init__(self, console: Console) -> None:
        self._console = console

    def close(self) -> None:
        """Nothing is left open."""

    def show(self, beat: Beat) -> None:
        print_events(self._console, beat.events)
        job = beat.job
        if job is None or job.state != Job.State.RUNNING or not job.figures.total_steps:
            return
        if time.monotonic() - self._line_at >= LINE_SECONDS:
            self._line_at = time.monotonic()
            line = f"{job.kind:>18}  {progress_line(job)}"
            self._console.print(line, highlight=False, soft_wrap=True)


class JsonLines(Lines):
    """Every event as one line of JSON."""

    def show(self, beat: Beat) -> None:
        for event in beat.events:
            self._console.file.write(json.dumps(facts_of(event), ensure_ascii=False) + "\n")
        self._console.file.flush()


class Screen:
    """The log scrolls by above; curves, figures and bar stay in place below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()
        self._curves_at = 0.0
        self._points: list[Point] = []

    def show(self, beat: Beat) -> None:
        print_events(self._console, beat.events)
        if beat.job is None:
            return
        if beat.is_over or time.monotonic() - self._curves_at >= CURVE_SECONDS:
            self._curves_at = time.monotonic()
            self._points = points_of(beat.job.id)
        self._live.update(picture(beat.job, self._points, self._console.width), refresh=True)

    def close(self) -> None:
        self._live.stop()


@contextmanager
def displayed(story: Story, console: Console) -> Iterator[None]:
    """Show a story from a thread of its own, while the work goes on in the caller's."""
    display, closed = display_for(console), threading.Event()

    def show_until_closed() -> None:
        try:
            for beat in follow(story, closed):
                display.show(beat)
        finally:
            connection.close()

    thread = threading.Thread(target=show_until_closed, daemon=True)
    thread.start()
    try:
        yield
    finally:
        closed.set()
        thread.join()
        display.close()


def print_events(console: Console, events: list[JobEvent]) -> None:
    for event in events:
        if event.kind != JobEvent.Kind.METRICS:
            line = f"[dim]{event.at:%H:%M:%S} {event.job.kind:>9}[/dim]  "
            text = Text(event.message, style="red" if event.kind == JobEvent.Kind.ERROR else "")
            console.print(Text.from_markup(line) + text, highlight=False, soft_wrap=True)


def picture(job: Job, points: list[Point], width: int) -> RenderableType:
    parts: list[RenderableType] = []
    if points:
        parts += [_plot(points, max(20, min(100, width - AXIS_WIDTH - 2))), _figures(job, points)]
    parts.append(_bar(job, width) if job.is_live else Text(end_line(job)))
    return Group(*parts)


def _bar(job: Job, width: int) -> RenderableType:
    total = job.figures.total_steps
    if job.state != Job.State.RUNNING or not total:
        return Text(f"{job.kind}: {job.stage or job.state}, {job.state}", style="dim")
    row = Table.grid(padding=(0, 1))
    step = job.figures.step
    bar = ProgressBar(total=total, completed=step, width=min(BAR_WIDTH, width // 3))
    row.add_row(f"{job.kind}: {job.stage}", bar, f"{step:,}/{total:,} ({job.percent} %)")
    return Group(row, Text(detail_of(job), style="dim"))


def _figures(job: Job, points: list[Point]) -> RenderableType:
    valid = [(p.valid_loss, p.step) for p in points if p.valid_loss is not None]
    losses = [p.loss for p in points if p.loss is not None]
    cells = [f"[green]━[/] training {number(losses[-1])}"] if losses else []
    if valid:
        (best, step), last = min(valid), number(valid[-1][0])
        cells.append(f"[yellow]━[/] validation {last}, best {number(best)} at step {step:,}")
    table = Table.grid(padding=(0, 2))
    table.add_row(*map(Text.from_markup, cells))
    return table


def _plot(points: list[Point], width: int) -> Text:
    """Both losses over the steps, validation above training where they cross."""
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(AXIS_WIDTH + 1 + width, PLOT_HEIGHT)
    plotext.frame(False)
    plotext.xfrequency(0)
    train = [(p.step, p.loss) for p in points if p.loss is not None]
    valid = [(p.step, p.valid_loss) for p in points if p.valid_loss is not None]
    for line, color in ((train, "green"), (valid, "orange")):
        if line:
            plotext.plot(*zip(*line, strict=True), marker="braille", color=color)
    losses = [loss for _, loss in train + valid]
    ends = sorted({min(losses), max(losses)})
    plotext.yticks(ends, [f"{number(end):>{AXIS_WIDTH}} " for end in ends])
    return Text.from_ansi(plotext.build())
