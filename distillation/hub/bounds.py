"""What a hub may cost: its answers are counted while they come in, and it has only so long.

    with bounded(endpoint, Budget()): HfApi(endpoint=endpoint).dataset_info("acme/rows")

huggingface_hub reads answers whole and waits for ever; its session has hooks for each request and
each answer, which is where this stands. No code of a data set is ever run, and nobody is followed
to an address within this network.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelstation.core import outbound
from modelstation.core.errors import UserFacingError

if TYPE_CHECKING:
    import httpx2

TIMEOUT_SECONDS = 10.0
MOST_UNANSWERED = 2  # tries of one request
LATER = "Try again later; if it goes on, ask your operator."


class HubError(UserFacingError):
    """What the hub or the way to it made impossible, in plain words."""


@dataclass
class Budget:
    """What is left of it. One that is spent raises HubError."""

    bytes: int = 64 << 20
    seconds: float = 240.0
    started: float = field(default_factory=time.monotonic)
    unanswered: int = 0
    endpoint: str = ""

    def spend(self, size: int) -> None:
        self.bytes -= size
        if self.bytes < 0:
            message = "The hub sends more than was to be read."
            raise HubError(message, code="hub_too_much", hint="Nothing of it was kept.")
        self.check_time()

    def check_time(self) -> None:
        if time.monotonic() - self.started > self.seconds:
            message = "The hub is too slow: the time for this is over."
            raise HubError(message, code="hub_too_slow", hint=LATER)


_BUDGET: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def bounded(endpoint: str, budget: Budget) -> Iterator[Budget]:
    """Bound all calls of the hub within. Raise HubError for all that it may do wrong."""
    _install()
    budget.endpoint = endpoint
    token = _BUDGET.set(budget)
    try:
        with in_plain_words():
            yield budget
    finally:
        _BUDGET.reset(token)


@contextmanager
def within(size: int, seconds: float) -> Iterator[Budget]:
    """Spend no more than this of the budget within; what is spent counts for the outer one too."""
    outer = _BUDGET.get()
    assert outer is not None
    left = outer.seconds - (time.monotonic() - outer.started)
    inner = Budget(min(size, outer.bytes), min(seconds, left), endpoint=outer.endpoint)
    before = inner.bytes
    token = _BUDGET.set(inner)
    try:
        with in_plain_words():
            yield inner
    finally:
        _BUDGET.reset(token)
        outer.bytes -= before - inner.bytes


def _install() -> None:
    from huggingface_hub import get_session, set_client_factory

    hooks = get_session().event_hooks
    if _before not in hooks["request"]:
        set_client_factory(_client)


def _client() -> httpx2.Client:
    from huggingface_hub.utils._http import default_client_factory

    client = default_client_factory()
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], _before],
        "response": [*hooks["response"], _after],
    }
    return client


def _before(request: httpx2.Request) -> None:
    budget = _BUDGET.get()
    if budget is None:
        return
    budget.check_time()
    budget.unanswered += 1
    if budget.unanswered > MOST_UNANSWERED:
        raise unreachable()
    _check_host(request, budget)
    request.headers["Accept-Encoding"] = "identity"  # what is counted is what is read
    seconds = TIMEOUT_SECONDS
    request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), seconds)


def _check_host(request: httpx2.Request, budget: Budget) -> None:
    """Let the hub send us to its storage, and to nothing within this network."""
    if request.url.host == urlsplit(budget.endpoint).hostname:
        return
    try:
        outbound.addresses_of(request.url.host, request.url.port or 443)
    except outbound.Unreachable as error:
        message = f"The hub sends us to an address that is not asked: {error}."
        raise HubError(message, code="hub_redirect", hint=LATER) from None
    request.headers.pop("Authorization", None)


def _after(response: httpx2.Response) -> None:
    import httpx2

    budget = _BUDGET.get()
    if budget is None:
        return
    budget.unanswered = 0
    if response.headers.get("Content-Encoding", "identity") not in ("identity", ""):
        message = "The hub sends packed answers, of which nobody knows how far they expand."
        raise HubError(message, code="hub_packed", hint=LATER)
    assert isinstance(response.stream, httpx2.SyncByteStream)
    response.stream = _counted(response.stream, budget)


def _counted(stream: httpx2.SyncByteStream, budget: Budget) -> httpx2.SyncByteStream:
    import httpx2

    class Counted(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for chunk in stream:
                budget.spend(len(chunk))
                yield chunk

        def close(self) -> None:
            stream.close()

    return Counted()


# --- in plain words -------------------------------------------------------------------------------


@contextmanager
def in_plain_words() -> Iterator[None]:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPStatusError) as error:
        raise _of_status(error.response.status_code) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OfflineModeIsEnabled, OSError):
        raise unreachable() from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # The library reads an answer as the hub that it knows would write it.
        message = f"The hub answers with something else than expected ({type(error).__name__})."
        raise HubError(message, code="hub_lies", hint="Check HF_ENDPOINT. " + LATER) from error


def unreachable() -> HubError:
    message = "The hub cannot be reached from this installation."
    return HubError(message, code="hub_unreachable", hint=LATER)


def _of_status(status: int) -> HubError:
    if status in (401, 403):
        message = "The hub does not show this to us: it is private or gated."
        hint = (
            "Accept its terms on the hub, and store a token of that account on the settings page."
        )
        return HubError(message, code="hub_gated", hint=hint)
    if status == 404:
        message = "The hub does not have this, or not any more."
        return HubError(message, code="hub_not_found", hint="Search again.")
    if status == 429:
        message = "The hub takes no more requests from us just now."
        return HubError(message, code="hub_busy", hint=LATER)
    message = f"The hub has trouble of its own (status {status})."
    return HubError(message, code="hub_trouble", hint=LATER)
