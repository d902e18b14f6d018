"""Requests to an address that a user gave: never to this machine or its network, never redirected.

The name is resolved once, every address it has is judged, and the connection goes to one of those:
what the name says a moment later changes nothing. The certificate is checked against the name."""

import ipaddress
import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore
from django.conf import settings

from modelstation.core.errors import UserFacingError

MAX_URL_CHARS = 500
KEPT_BYTES = 1024  # of an answer
SECONDS = 15.0  # for all of it, connecting included
# What `is_global` lets through, in one version of Python or another: the services of clouds,
# addresses that stand for others, and those of a site.
ALSO_CLOSED = [
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10", "64:ff9b::/96",
        "64:ff9b:1::/48", "fec0::/10",
    )
]  # fmt: skip

REACHABLE = (
    "Give an address that can be reached from the internet; an operator may allow private ones "
    "with WEBHOOK_ALLOW_PRIVATE=true."
)
_PLAIN = re.compile(r"[!-~]+")  # printable ASCII, no blank
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes  # how it begins
    is_whole: bool = True  # False: it went on, and the rest was not read
    retry_after: str = ""  # as the header has it


class Unreachable(Exception):
    """No answer came; the message says why in a few words."""


def check_url(url: str, *, param: str = "url", allow_private: bool = False) -> None:
    """Raise UserFacingError for an address that nothing may be sent to. `allow_private` is for
    addresses that the operator gave."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _refused("This is not a URL.", param) from None
    if parts.scheme not in ("http", "https") or not host or len(url) > MAX_URL_CHARS:
        raise _refused("A URL is needed that begins with https:// or http://.", param)
    if parts.username is not None or parts.fragment or not _PLAIN.fullmatch(url):
        raise _refused("The URL may hold no user name, fragment, blank or non-ASCII letter.", param)
    try:
        addresses_of(host, parts.port or 443, allow_private=allow_private)
    except Unreachable as error:
        raise _refused(f"Nothing can be sent to this URL: {error}.", param, REACHABLE) from error


def post(url: str, *, content: bytes, headers: dict[str, str]) -> Answer:
    """Raise Unreachable. A redirect is an answer like any other."""
    return send("POST", url, content=content, headers=headers)


def send(
    method: str,
    url: str,
    *,
    headers: dict[str, str],
    content: bytes = b"",
    seconds: float | None = None,
    most_bytes: int = KEPT_BYTES,
    allow_private: bool = False,
) -> Answer:
    """Read `most_bytes` of the answer within `seconds`, connecting included. Raise Unreachable."""
    seconds = SECONDS if seconds is None else seconds
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
    request: Any = {"headers": given, "content": content, "extensions": {"timeout": timeout}}
    try:
        with (
            httpcore.ConnectionPool(network_backend=_Guarded(seconds, allow_private)) as pool,
            pool.stream(method, url, **request) as response,
        ):
            kept = b""
            for chunk in response.iter_stream():
                kept += chunk
                if len(kept) >= most_bytes:
                    break
            named = {name.lower(): value for name, value in response.headers}
            later = named.get(b"retry-after", b"").decode("latin-1")
            return Answer(response.status, kept[:most_bytes], len(kept) < most_bytes, later)
    except httpcore.TimeoutException:
        raise Unreachable(f"no answer within {seconds:.0f} seconds") from None
    except httpcore.LocalProtocolError:  # its words hold the header that is wrong: a key, maybe
        raise Unreachable("the request cannot be written as HTTP") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise Unreachable(str(error)[:200] or type(error).__name__) from error


def addresses_of(host: str, port: int, *, allow_private: bool = False) -> list[str]:
    """Numbers in any spelling (decimal, hex, IPv6) are resolved like names, then judged."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable(f"the name {host} cannot be resolved") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    if not (allow_private or settings.WEBHOOK_ALLOW_PRIVATE) and not all(map(is_public, addresses)):
        raise Unreachable(f"{host} is not on the public internet")
    return addresses


def is_public(address: str) -> bool:
    ip = _inner(ipaddress.ip_address(address))
    special = ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_link_local
    return ip.is_global and not special and not any(ip in network for network in ALSO_CLOSED)


def _inner(ip: Address) -> Address:
    """Return the IPv4 address that an IPv6 one carries within it."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip


def _refused(message: str, param: str, hint: str = "") -> UserFacingError:
    return UserFacingError(message, code="url_refused", param=param, hint=hint)


class _Guarded(httpcore.NetworkBackend):
    """Connects to addresses that have been judged, and ends everything by one deadline: a server
    that sends a byte now and then must not hold a worker."""

    def __init__(self, seconds: float, allow_private: bool) -> None:
        self._plain = httpcore.SyncBackend()
        self._deadline = time.monotonic() + seconds
        self._allow_private = allow_private

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore.NetworkStream:
        last: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses_of(host, port, allow_private=self._allow_private):
            try:
                stream = self._plain.connect_tcp(address, port, _left(self._deadline))
                return _Bounded(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last


class _Bounded(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        within = _left(self._deadline)
        secured = self._stream.start_tls(ssl_context, server_hostname, within)
        return _Bounded(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left
