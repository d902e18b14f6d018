"""What pages of rows have in common: a page of them, and how they spread."""

from collections.abc import Mapping
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, QuerySet
from django.http import HttpRequest

ROWS_PER_PAGE = 50
BARS = 12  # of a breakdown; the rest is counted in one line


def page_of(request: HttpRequest, rows: QuerySet[Any]) -> Page[Any]:
    return Paginator(rows, ROWS_PER_PAGE).get_page(request.GET.get("page"))


def counts_by_task(rows: QuerySet[Any]) -> dict[str, int]:
    counted = rows.order_by("task").values("task").annotate(rows=Count("id"))
    return {group["task"]: group["rows"] for group in counted}


def breakdown(title: str, counts: Mapping[str, int]) -> dict[str, Any]:
    """The largest groups as bars, and how many groups and rows are left over."""
    ranked = sorted(counts.items(), key=lambda group: -group[1])
    return {
        "title": title,
        "largest": ranked[0][1] if ranked else 0,
        "bars": ranked[:BARS],
        "more_groups": len(ranked[BARS:]),
        "more_rows": sum(rows for _, rows in ranked[BARS:]),
    }
