"""A file over HTTP that can be gone on with: Range, If-Range, ETag, HEAD (RFC 9110, 13 and 14)."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date

CHUNK_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,40})-(\d{0,40})", re.ASCII)


def file_response(
    request: HttpRequest, path: Path, *, name: str, etag: str, content_type: str
) -> HttpResponseBase:
    """Return the whole file, the one requested range (206), or 416. `etag` names these bytes:
    another file has another one. Several ranges at once are answered with the whole.
    """
    common = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{etag}"',
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "private, no-transform",
    }
    if settings.EXPORT_SENDER:
        return _handed_over(path, content_type, common)
    size = path.stat().st_size
    common["Last-Modified"] = http_date(int(path.stat().st_mtime))
    requested = _requested_range(request, size, common)
    if requested == ():
        return HttpResponse(status=416, headers={**common, "Content-Range": f"bytes */{size}"})
    first, last = requested or (0, size - 1)
    headers = {**common, "Content-Length": str(last - first + 1)}
    if requested:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    chunks = iter(()) if request.method == "HEAD" else _chunks(path, first, last - first + 1)
    return StreamingHttpResponse(
        chunks, status=206 if requested else 200, content_type=content_type, headers=headers
    )


def _handed_over(path: Path, content_type: str, headers: dict[str, str]) -> HttpResponse:
    """No body: the proxy puts the file there, or the requested range of it. nginx gives
    it an ETag of its own; Apache keeps ours.
    """
    if settings.EXPORT_SENDER == "x-sendfile":
        sending = {"X-Sendfile": str(path)}
    else:
        place = quote(path.relative_to(settings.ARTIFACTS_DIR).as_posix())
        sending = {"X-Accel-Redirect": f"{settings.EXPORT_SENDER}{place}"}
    return HttpResponse(content_type=content_type, headers=headers | sending)


def _requested_range(
    request: HttpRequest, size: int, common: dict[str, str]
) -> tuple[int, int] | tuple[()] | None:
    """First and last byte; () for a range that does not lie in the file; None for the whole."""
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if not match or match.groups() == ("", ""):
        return None
    condition = request.headers.get("If-Range", "").strip()
    if condition and condition not in (common["ETag"], common["Last-Modified"]):
        return None  # what was begun is another file: from the start
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size - 1) if int(last) and size else ()
    end = min(int(last or size - 1), size - 1)
    return (int(first), end) if int(first) <= end else ()


def _chunks(path: Path, at: int, left: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(at)
        while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
