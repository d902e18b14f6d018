"""What the API's addresses of events share: their parameters, and an answer as a stream."""

from collections.abc import Iterable
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

MOST_EVENTS = 1000
EVENTS_A_PAGE = 500
LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description="At most 1000; 500 by default.")
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Go on after this event: what a browser sends when it comes back.",
)
STREAM = {(200, "text/event-stream"): OpenApiTypes.ANY}
STREAM_HELP = (
    "Server-sent events: `id` is what to go on after, `event` the kind, `data` an event as the "
    "list shows it. Ends with `event: end` once the work has ended, and after five minutes in any "
    "case: come back with Last-Event-ID. 429 when too many streams are open: poll the list."
)


class AnyAccept(DefaultContentNegotiation):
    """Files and streams are sent whatever the caller says to accept; errors of them are JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: Any = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)
