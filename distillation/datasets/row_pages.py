"""What pages of rows have in common: a page of them, and how they spread."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, QuerySet
from django.http import HttpRequest

ROWS_PER_PAGE = 50
BARS = 12  # of a breakdown; the rest is counted in one line


def page_of(
    request: HttpRequest, rows: QuerySet[Any] | range, size: int = ROWS_PER_PAGE
) -> Page[Any]:
    return Paginator(rows, size).get_page(request.GET.get("page"))


def counts_by_task(rows: QuerySet[Any]) -> dict[str, int]:
    counted = rows.order_by("task").values("task").annotate(rows=Count("id"))
    return {group["task"]: group["rows"] for group in counted}


@dataclass(frozen=True)
class Breakdown:
    title: str
    largest: int
    bars: list[tuple[str, int]]
    more_groups: int
    more_rows: int


def breakdown(title: str, counts: Mapping[str, int], *, ranked: bool = True) -> Breakdown:
    """Return the largest groups as bars. Those with an order of their own keep it."""
    bars = list(counts.items())
    if ranked:
        bars.sort(key=lambda group: -group[1])
    return Breakdown(
        title=title,
        largest=max(counts.values(), default=0),
        bars=bars[:BARS],
        more_groups=len(bars[BARS:]),
        more_rows=sum(rows for _, rows in bars[BARS:]),
    )
