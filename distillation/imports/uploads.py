"""Files that people upload: written to the disk as they arrive, hashed on the way, held whole
nowhere. An import has one folder, UPLOADS_DIR/<org>/<import>, for its file and its rejected rows.
"""

import csv
import errno
import hashlib
import json
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from accounts.access import enter
from distillation.limits import NAME_CHARS
from distillation.models import ImportRun
from modelstation.core.errors import NoSpace, TooLarge

CHUNK_BYTES = 1 << 16
ABANDONED_AFTER_SECONDS = 24 * 3600
REJECTED_COLUMNS = ("line", "field", "code", "message", "hint", "row")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class ReceivedFile(TemporaryUploadedFile):
    """On the disk of the uploads, so that to keep it is a rename. Else it goes with its request."""

    def __init__(self, name: str, content_type: str | None, charset: str | None) -> None:
        incoming = settings.UPLOADS_DIR / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(dir=incoming)  # noqa: SIM115
        UploadedFile.__init__(self, file, name, content_type, 0, charset)
        self.sha256 = hashlib.sha256()


class UploadHandler(TemporaryFileUploadHandler):
    file: ReceivedFile

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, *rest: Any, **more: Any
    ) -> None:
        if content_length > settings.UPLOAD_MAX_BYTES:
            while input_data.read(CHUNK_BYTES):
                pass  # a browser that is cut off while it sends shows no answer
            size, most = content_length / 1e6, settings.UPLOAD_MAX_BYTES / 1e6
            message = f"The upload has {size:,.1f} MB; at most {most:,.1f} MB are taken at once."
            hint = "Pack it with gzip, or split it into several files."
            raise TooLarge(message, code="upload_too_large", param="file", hint=hint)

    def new_file(self, *args: Any, **options: Any) -> None:
        super(TemporaryFileUploadHandler, self).new_file(*args, **options)
        self.file = ReceivedFile(self.file_name or "", self.content_type, self.charset)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        try:
            self.file.write(raw_data)
            self.file.flush()
        except OSError as error:
            self.file.close()
            if error.errno != errno.ENOSPC:
                raise
            message = "No disk space is left for this file. Nothing of it was kept."
            hint = "Ask your operator to free some space, then upload it again."
            raise NoSpace(message, code="disk_full", param="file", hint=hint) from error
        self.file.sha256.update(raw_data)


def receives_files(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Give the view a member's files, on the disk as they came in, and nothing of a stranger's.

    The token against forgery is in the body too, so it is looked at after the access check.
    """
    protected = csrf_protect(view)

    @csrf_exempt
    @login_required
    @wraps(view)
    def receive(request: HttpRequest, org: str, **ids: uuid.UUID) -> HttpResponse:
        membership = enter(request, org)
        receive_on_disk(request)
        return protected(request, membership, **ids)

    return receive


def receive_on_disk(request: HttpRequest) -> None:
    """To be called before anything looks at the request's body."""
    request.upload_handlers = [UploadHandler(request)]


def keep(file: ReceivedFile, run: ImportRun) -> Path:
    """Make the file the import's. Of its name only what is harmless in a path is left."""
    run.upload = f"{run.org_id}/{run.id}/file/{safe_name(file.name or '')}"
    path = path_of(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.flush()
    Path(file.temporary_file_path()).rename(path)
    file.close()
    return path


def safe_name(name: str) -> str:
    """Return the end of it, since that says what kind of file it is."""
    base = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[^\w.-]+", "_", base).lstrip(".-")[-NAME_CHARS:] or "upload"


def path_of(run: ImportRun) -> Path:
    return Path(settings.UPLOADS_DIR / run.upload)


def rejected_path(run: ImportRun) -> Path:
    """One JSON object per row that was left out: where, why, and what stood there."""
    return folder_of(run) / "rejected.jsonl"


def folder_of(run: ImportRun) -> Path:
    return Path(settings.UPLOADS_DIR / str(run.org_id) / str(run.id))


def remove_file(run: ImportRun) -> None:
    """Its rows are in the corpus; the rejected ones stay to be looked at."""
    shutil.rmtree(path_of(run).parent, ignore_errors=True)


def remove_all(run: ImportRun) -> None:
    shutil.rmtree(folder_of(run), ignore_errors=True)


def remove_abandoned() -> None:
    """Files of web processes that died while receiving them."""
    for path in (settings.UPLOADS_DIR / "incoming").glob("*"):
        if time.time() - path.stat().st_mtime > ABANDONED_AFTER_SECONDS:
            path.unlink(missing_ok=True)


def rejected_as_jsonl(run: ImportRun) -> Iterator[str]:
    path = rejected_path(run)
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            yield from lines


def rejected_as_csv(run: ImportRun) -> Iterator[str]:
    table = csv.writer(Echo())
    yield table.writerow(REJECTED_COLUMNS)
    for line in rejected_as_jsonl(run):
        facts = json.loads(line)
        yield table.writerow([_cell(facts[column]) for column in REJECTED_COLUMNS])


class Echo:
    """A file for csv.writer that keeps nothing: `writerow` gives back what is written."""

    def write(self, text: str) -> str:
        return text


def _cell(value: Any) -> Any:
    """Text as it stands, but nothing that a spreadsheet would take for a formula and run."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


REJECTED_FORMATS = {
    "jsonl": (rejected_as_jsonl, "application/jsonl"),
    "csv": (rejected_as_csv, "text/csv; charset=utf-8"),
}


def rejected_download(run: ImportRun, form: str) -> StreamingHttpResponse:
    lines, content_type = REJECTED_FORMATS[form]
    response = StreamingHttpResponse(lines(run), content_type=content_type)
    name = f"{Path(run.upload).name.split('.')[0]}-rejected.{form}"
    response["Content-Disposition"] = content_disposition_header(True, name)
    return response
