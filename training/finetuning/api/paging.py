"""Lists in OpenAI's form: pages by keyset, gone on with `after` the last id of the page before."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions
from rest_framework.request import Request

AFTER = OpenApiParameter("after", OpenApiTypes.STR, description="The last id of the page before.")
LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description="How many at most.")
ORDER = OpenApiParameter("order", OpenApiTypes.STR, enum=["asc", "desc"])
_METADATA = re.compile(r"metadata\[(?P<key>.{1,64})\]", re.DOTALL)


def order_of(request: Request) -> str:
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise exceptions.ValidationError({"order": "Either asc or desc."})
    return order


def metadata_of(request: Request) -> dict[str, str]:
    """`metadata[team]=support` narrows a list of jobs."""
    named = ((_METADATA.fullmatch(name), str(value)) for name, value in request.GET.items())
    pairs = {match["key"]: value for match, value in named if match}
    if any("\x00" in text for pair in pairs.items() for text in pair):
        raise exceptions.ValidationError({"metadata": "A NUL character is in no metadata."})
    return pairs


def rows_after(
    rows: QuerySet[Any], request: Request, id_of: Callable[[Any], Any], *, order: str = "desc"
) -> QuerySet[Any]:
    """Those beyond the row that `after` names, by time and id."""
    sign = "-" if order == "desc" else ""
    ordered = rows.order_by(f"{sign}created_at", f"{sign}id")
    if not (name := request.query_params.get("after")):
        return ordered
    row_id = id_of(name)
    last = rows.filter(id=row_id).values_list("created_at", "id").first() if row_id else None
    if last is None:
        raise unknown_cursor(name)
    side = "lt" if order == "desc" else "gt"
    beyond = Q(**{f"created_at__{side}": last[0]})
    return ordered.filter(beyond | Q(created_at=last[0], **{f"id__{side}": last[1]}))


def unknown_cursor(name: str) -> exceptions.ValidationError:
    return exceptions.ValidationError({"after": f"Nothing here has the id “{name[:80]}”."})


def page_of(
    rows: "QuerySet[Any] | Sequence[Any]", limit: int, show: Callable[[list[Any]], list[Any]]
) -> dict[str, Any]:
    """Read one row more than is shown: it says whether there is more."""
    result = list(rows[: limit + 1])
    data = show(result[:limit])
    return {
        "object": "list",
        "data": data,
        "has_more": len(result) > limit,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
