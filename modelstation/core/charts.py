"""Charts drawn on the server: SVG with classes only, no script and no inline style.

Lengths along x are percentages of the drawing, so that labels keep their size at 360 px as at 1280;
colours and strokes come from app.css. Every chart carries its content as text as well.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

MAX_POINTS = 500  # more than a screen can show; curves come from the database with no more
NO_MARKUP = SafeString("")

FIGURE = """
<figure class="chart-figure">
  <div class="chart-head"><span class="chart-title">{}</span>{}</div>
  <svg class="chart" role="img" aria-label="{}">
    {}<text class="chart-x-label" x="100%" y="100%" dy="34">{}</text>{}
  </svg>
  <figcaption class="chart-words">{}</figcaption>
</figure>
"""
GRID_ROW = """
<line class="chart-grid" x2="100%" y1="{}%" y2="{}%"/>
<text class="chart-y-tick" y="{}%" dx="-8" dy="4">{}</text>
"""
GRID_COLUMN = '<text class="chart-x-tick" x="{}%" y="100%" dy="18">{}</text>'
# The lines stretch with the drawing; their strokes, and everything outside this plane, do not.
PLANE = """
<svg class="chart-plane" viewBox="0 0 100 100" preserveAspectRatio="none">{}</svg>
"""
BAR = """
<div class="bar" role="listitem">
  <span class="bar-name">{}</span><span class="bar-value">{}</span>
  <svg class="bar-drawing" aria-hidden="true">
    <rect class="bar-track" y="4" width="100%" height="16"/>
    <rect class="bar-part bar-{}" y="4" width="{}%" height="16"/>{}
  </svg>
</div>
"""
SHARE = """
<svg class="share" aria-hidden="true"><rect class="share-track" width="100%" height="100%"/>
<rect class="share-part" width="{}%" height="100%"/></svg>
"""
LEGEND_ROW = """
<li><svg class="chart-key" aria-hidden="true">
<line class="chart-line chart-{}" x2="100%" y1="50%" y2="50%"/></svg>{}</li>
"""
WHISKER_STROKE = '<line class="bar-whisker" x1="{}%" x2="{}%" y1="{}" y2="{}"/>'

Point = tuple[float, float | None]
Finite = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line. A y that is None, NaN or infinite leaves a gap."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Interval:
    """One bar from 0 to 1 with its uncertainty."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Axis:
    low: float
    high: float
    ticks: Sequence[float]

    def percent(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def line_chart(
    series: Sequence[Series], *, title: str, x_label: str, from_zero: bool = False
) -> SafeString:
    """Draw a figure: legend, SVG with axes, and the same in words. Empty series are left out."""
    drawn = [(line, _finite(line.points)) for line in series]
    drawn = [(line, points) for line, points in drawn if points]
    points = [point for _, finite in drawn for point in finite]
    if not points:
        return format_html('<p class="chart-empty">{}: nothing to draw yet.</p>', title)
    left, right = _spread([x for x, _ in points])
    x = Axis(left, right, [tick for tick in nice_ticks(left, right) if left <= tick <= right])
    heights = nice_ticks(*_spread([y for _, y in points] + ([0.0] if from_zero else [])))
    y = Axis(heights[0], heights[-1], heights)
    words = " ".join(_in_words(line.name, finite, x_label) for line, finite in drawn)
    return format_html(
        FIGURE,
        title,
        _legend([line.name for line, _ in drawn]) if len(drawn) > 1 else NO_MARKUP,
        f"{title}. {words}",
        _grid(x, y),
        x_label,
        _joined(_line(place, line.points, x, y) for place, (line, _) in enumerate(drawn, 1)),
        words,
    )


def interval_bars(rows: Sequence[Interval], *, title: str) -> SafeString:
    """Scores between 0 and 1 as bars, their intervals as whiskers, the numbers beside them."""
    return format_html(
        '<div class="bars" role="list" aria-label="{}">{}</div>',
        title,
        _joined(_interval_bar(place, row) for place, row in enumerate(rows, 1)),
    )


def share_bar(part: float, whole: float) -> SafeString:
    """Draw a thin bar for a table cell, hidden from readers: the number stands beside it."""
    return format_html(SHARE, round(_share(part / whole if whole else 0), 1))


def number(value: float) -> str:
    """Short enough for a tick: 12,000 · 350 · 0.42 · 0.0013 · 1e-05."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, from at or below `low` to at or above `high`."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(nice * power for nice in (1, 2, 5, 10) if nice * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(count * step, 12) for count in range(first, last + 1)]


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of the values; a single value gets room around it."""
    low, high = min(values), max(values)
    if high - low > 1e-12 * max(abs(low), abs(high), 1e-300):
        return low, high
    room = abs(low) / 2 or 1.0
    return low - room, high + room


def _grid(x: Axis, y: Axis) -> SafeString:
    heights = [(_from_top(y, tick), number(tick)) for tick in y.ticks]
    rows = format_html_join("", GRID_ROW, ((top, top, top, text) for top, text in heights))
    columns = format_html_join("", GRID_COLUMN, ((x.percent(t), number(t)) for t in x.ticks))
    return rows + columns


def _line(place: int, points: Sequence[Point], x: Axis, y: Axis) -> SafeString:
    """Draw a run of points as a polyline, a point alone as a dot."""
    runs = [[(x.percent(a), _from_top(y, b)) for a, b in _thinned(run)] for run in _runs(points)]
    lines = format_html_join(
        "",
        '<polyline class="chart-line chart-{}" vector-effect="non-scaling-stroke" points="{}"/>',
        ((place, " ".join(f"{a},{b}" for a, b in run)) for run in runs if len(run) > 1),
    )
    dots = format_html_join(
        "",
        '<circle class="chart-dot chart-{}" cx="{}%" cy="{}%" r="3.5"/>',
        ((place, *run[0]) for run in runs if len(run) == 1),
    )
    return format_html(PLANE, lines) + dots


def _legend(names: Iterable[str]) -> SafeString:
    rows = format_html_join("", LEGEND_ROW, enumerate(names, 1))
    return format_html('<ul class="chart-legend">{}</ul>', rows)


def _interval_bar(place: int, row: Interval) -> SafeString:
    words = f"{100 * row.value:.1f} %" if math.isfinite(row.value) else "no score"
    whisker = NO_MARKUP
    if row.low is not None and row.high is not None and math.isfinite(row.low + row.high):
        words += f" ({100 * row.low:.1f} to {100 * row.high:.1f} %)"
        low, high = _share(row.low), _share(row.high)
        strokes = ((low, high, 12, 12), (low, low, 6, 18), (high, high, 6, 18))
        whisker = format_html_join("", WHISKER_STROKE, strokes)
    return format_html(BAR, row.name, words, place, _share(row.value), whisker)


def _joined(parts: Iterable[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts))


def _in_words(name: str, points: Sequence[Finite], x_label: str) -> str:
    (first_x, first), (last_x, last) = points[0], points[-1]
    if len(points) == 1:
        return f"{name}: {number(first)} at {x_label} {number(first_x)}."
    low_x, low = min(points, key=lambda point: point[1])
    lowest = "" if low in (first, last) else f", lowest {number(low)} at {number(low_x)}"
    start = f"{name}: {number(first)} at {x_label} {number(first_x)}"
    return f"{start}, {number(last)} at {number(last_x)}{lowest}."


def _finite(points: Iterable[Point]) -> list[Finite]:
    return [(x, y) for x, y in points if y is not None and math.isfinite(x) and math.isfinite(y)]


def _runs(points: Iterable[Point]) -> list[list[Finite]]:
    """Stretches of points between gaps."""
    runs: list[list[Finite]] = [[]]
    for point in points:
        if finite := _finite([point]):
            runs[-1].extend(finite)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _thinned(run: list[Finite]) -> list[Finite]:
    """Evenly spaced points of a long run; its last point always stays."""
    stride = math.ceil(len(run) / MAX_POINTS)
    return run if stride == 1 else [*run[:-1:stride], run[-1]]


def _from_top(axis: Axis, value: float) -> float:
    return round(100 - axis.percent(value), 2)


def _share(value: float) -> float:
    return round(100 * max(0.0, min(1.0, value)), 2) if math.isfinite(value) else 0.0
