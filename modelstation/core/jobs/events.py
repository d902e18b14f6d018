"""The story of a job, or of all jobs on one subject, as it goes on: by polling and as a stream.

A stream holds one thread of the web server while it lasts. So that streams never starve the pages,
a process gives out fewer of them than it has threads, one organisation gets only some of those, and
each ends after a few minutes: a client comes back with the id of the last event it saw. A client
that is refused (429) reads on by polling, which reads the same events.
"""

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from modelstation.core.models import Job, JobEvent
from modelstation.core.web.api import error_body

BATCH = 500
POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
PAGE_HEARTBEAT_SECONDS = 3.0  # a page that was left or loaded again soon gives its slot back
STREAM_SECONDS = 300.0
RETRY_MILLISECONDS = 2000
RETRY_AFTER_SECONDS = 10
TOO_MANY = "Too many streams are open. Ask again later, or poll the events."


@dataclass(frozen=True)
class Story:
    """Events in order. Its cursor is the `seq` of one job's events, the id of several jobs'."""

    job_id: uuid.UUID | None = None
    subject_id: uuid.UUID | None = None

    @property
    def cursor(self) -> str:
        return "seq" if self.job_id else "id"

    @property
    def jobs(self) -> QuerySet[Job]:
        of_these = {"id": self.job_id} if self.job_id else {"subject_id": self.subject_id}
        return Job.objects.filter(**of_these)

    def events(self) -> QuerySet[JobEvent]:
        of_these = {"job": self.job_id} if self.job_id else {"job__subject_id": self.subject_id}
        events = JobEvent.objects.filter(**of_these).select_related("job")
        return events.defer("operator_detail").order_by(self.cursor)

    def after(self, cursor: int, limit: int = BATCH) -> list[JobEvent]:
        return list(self.events().filter(**{f"{self.cursor}__gt": cursor})[:limit])

    def place_of(self, event: JobEvent) -> int:
        return int(getattr(event, self.cursor))

    def is_over(self) -> bool:
        return not self.jobs.filter(state__in=Job.LIVE_STATES).exists()

    def newest_state(self) -> str:
        return self.jobs.order_by("-created_at").values_list("state", flat=True).first() or ""


class EventFacts(TypedDict):
    id: int
    job: str
    job_kind: str
    seq: int
    at: str
    kind: str
    message: str
    data: dict[str, float | None]


def facts_of(event: JobEvent) -> EventFacts:
    """Return an event as the API, the stream and `watch --json` show it."""
    return {
        "id": event.id,
        "job": str(event.job_id),
        "job_kind": event.job.kind,
        "seq": event.seq,
        "at": event.at.isoformat().replace("+00:00", "Z"),
        "kind": event.kind,
        "message": event.message,
        "data": event.data,
    }


class Slots:
    """How many streams this process holds, in all and for each organisation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[Any] = Counter()

    def take(self, owner: Any) -> Callable[[], None] | None:
        """Return what gives the slot back (once, however often called); None when none is free."""
        with self._lock:
            is_full = self._held.total() >= settings.EVENT_STREAMS_PER_PROCESS
            if is_full or self._held[owner] >= settings.EVENT_STREAMS_PER_ORGANIZATION:
                return None
            self._held[owner] += 1
        given_back = threading.Event()

        def give_back() -> None:
            with self._lock:
                if not given_back.is_set():
                    given_back.set()
                    self._held[owner] -= 1

        return give_back


SLOTS = Slots()


class EventStream:
    """The body of a stream. `close` is called by the server at its end, and when its reader has
    gone: the next heartbeat finds that out."""

    def __init__(self, chunks: Iterator[bytes], give_back: Callable[[], None]) -> None:
        self._chunks = chunks
        self._give_back = give_back

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._give_back()


def stream_response(
    request: HttpRequest, story: Story, *, owner: Any, heartbeat: float | None = None
) -> HttpResponseBase:
    """Server-sent events of a story: `id` is its cursor, `event` the kind, `data` the facts."""
    give_back = SLOTS.take(owner)
    if give_back is None:
        body = error_body("too_many_streams", TOO_MANY)
        return JsonResponse(body, status=429, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    # The later of two: a browser that comes back sends the header beside its first address.
    given = (request.headers.get("Last-Event-ID", ""), request.GET.get("after", ""))
    last_seen = max(int(t) if t.isascii() and t.isdigit() and len(t) < 19 else 0 for t in given)
    stream = EventStream(_chunks(story, last_seen, heartbeat or HEARTBEAT_SECONDS), give_back)
    response = StreamingHttpResponse(stream, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"  # nginx would keep events back
    return response


def text_response(name: str, events: QuerySet[JobEvent]) -> HttpResponse:
    """Return a log as lines, for people."""
    lines = (f"{e.at:%Y-%m-%d %H:%M:%S}  {e.kind:<10}  {e.message}\n" for e in events.iterator())
    response = HttpResponse(lines, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.txt"'
    return response


def _chunks(story: Story, after: int, heartbeat: float) -> Iterator[bytes]:
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    began = spoke = time.monotonic()
    while time.monotonic() - began < STREAM_SECONDS:
        is_over = story.is_over()  # read first: the end's own events are then among those read
        events = story.after(after)
        if events:
            after, spoke = story.place_of(events[-1]), time.monotonic()
            yield b"".join(_lines(e.kind, facts_of(e), story.place_of(e)) for e in events)
        elif is_over:
            yield _lines("end", {"state": story.newest_state()})
            return
        elif time.monotonic() - spoke >= heartbeat:
            spoke = time.monotonic()
            yield b": still here\n\n"
        if not events and not is_over:
            time.sleep(POLL_SECONDS)


def _lines(kind: str, facts: EventFacts | dict[str, str], place: int | None = None) -> bytes:
    begin = "" if place is None else f"id: {place}\n"
    return f"{begin}event: {kind}\ndata: {json.dumps(facts, ensure_ascii=False)}\n\n".encode()
