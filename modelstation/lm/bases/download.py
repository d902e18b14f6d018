"""Fetch files of one pinned revision of the hub: resumed where they were left, each checked against
the size and hash that the hub states. Only safetensors, JSON and the template are requested."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from modelstation.core.errors import UserFacingError
from modelstation.lm.bases.catalog import Base

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

logger = logging.getLogger("modelstation.hub")

NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
OPTIONAL = ("generation_config.json", "chat_template.jinja", "model.safetensors.index.json")
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 10
MAX_FAILURES = 5  # one after the other, without a byte between them
SECONDS_BETWEEN_TRIES = 1
Report = Callable[[int, int], None]  # bytes done of bytes in all; raises to stop


@dataclass(frozen=True)
class RemoteFile:
    name: str
    size: int
    sha256: str = ""  # of large files, which the hub keeps apart
    git_sha1: str = ""  # of the others


def is_wanted(name: str) -> bool:
    """Never a pickle, a script or anything in a subfolder."""
    return name in NEEDED or name in OPTIONAL or bool(WEIGHTS.fullmatch(name))


def list_files(base: Base, endpoint: str) -> list[RemoteFile]:
    """List what to download. UserFacingError for all that the hub or the network may refuse."""
    from huggingface_hub import HfApi

    with in_plain_words(base):
        info = HfApi(endpoint=endpoint, token=False).model_info(
            base.hub_id, revision=base.revision, files_metadata=True
        )
    if info.sha != base.revision:
        message = f"The hub answered with another revision of {base.hub_id} than the one requested."
        hint = "Nothing was kept. Check HF_ENDPOINT, or try again later."
        raise UserFacingError(message, code="hub_wrong_revision", hint=hint)
    files = [_remote(sibling) for sibling in info.siblings or () if is_wanted(sibling.rfilename)]
    names = {file.name for file in files}
    missing = [name for name in NEEDED if name not in names]
    if missing or not any(WEIGHTS.fullmatch(name) for name in names):
        raise refused(base, f"it lacks {missing[0] if missing else 'safetensors weights'}")
    return sorted(files, key=lambda file: file.size)


def download(
    files: list[RemoteFile], folder: Path, base: Base, endpoint: str, report: Report
) -> None:
    """All of `files` into `folder`. What lies there already and is right is kept."""
    total = sum(file.size for file in files)
    done = 0

    def onward(more: int) -> None:
        report(done + more, total)

    for file in files:
        onward(0)
        target = folder / file.name
        if not (target.is_file() and _is_right(target, file)):
            with in_plain_words(base):
                _download_one(file, folder, base, endpoint, onward)
        done += file.size
    onward(0)


def _download_one(
    file: RemoteFile, folder: Path, base: Base, endpoint: str, report: Callable[[int], None]
) -> None:
    """Go on where a cut connection or an earlier process left off: huggingface_hub's own downloads
    begin anew in each process, so only its session is used."""
    from huggingface_hub import hf_hub_url

    part = folder / f"{file.name}.part"
    if _size_of(part) > file.size:
        part.unlink()
    url = hf_hub_url(base.hub_id, file.name, revision=base.revision, endpoint=endpoint)
    _download_rest(url, part, file, report)
    if not _is_right(part, file):
        part.unlink()
        raise _damaged(file.name)
    part.rename(folder / file.name)


def _download_rest(url: str, part: Path, file: RemoteFile, report: Callable[[int], None]) -> None:
    """Try again while each try brings some bytes, and a few times when none does."""
    import httpx2

    failures = 0
    part.touch()
    while (before := _size_of(part)) < file.size:
        try:
            _append(url, part, file, report)
            return
        except httpx2.TransportError:
            failures = 1 if _size_of(part) > before else failures + 1
            if failures > MAX_FAILURES:
                raise
            time.sleep(SECONDS_BETWEEN_TRIES)


def _append(url: str, part: Path, file: RemoteFile, report: Callable[[int], None]) -> None:
    from huggingface_hub import get_session

    there = _size_of(part)
    headers = {"Accept-Encoding": "identity"}  # ranges and sizes are those of the file itself
    if there:
        headers["Range"] = f"bytes={there}-"
    with (
        get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS) as response,
        part.open("ab") as stream,
    ):
        response.raise_for_status()
        if there and response.status_code != HTTPStatus.PARTIAL_CONTENT:
            stream.truncate(0)
            there = 0
        for chunk in response.iter_bytes(CHUNK_BYTES):
            there += len(chunk)
            if there > file.size:
                part.unlink()
                raise _damaged(file.name)
            report(there)
            stream.write(chunk)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _remote(sibling: RepoSibling) -> RemoteFile:
    lfs = sibling.lfs
    return RemoteFile(
        name=sibling.rfilename,
        size=int(sibling.size or 0),
        sha256=lfs.sha256 if lfs else "",
        git_sha1="" if lfs else sibling.blob_id or "",
    )


def _is_right(path: Path, file: RemoteFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    # Git hashes the kind and size of what it stores along with it.
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size)
    with path.open("rb") as stream:
        hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest() == (file.sha256 or file.git_sha1)


# --- what may go wrong, in plain words ------------------------------------------------------------


def refused(base: Base, why: str) -> UserFacingError:
    hint = "Nothing was installed. Choose another base, or tell your operator."
    message = f"The files of {base.hub_id} are not taken: {why}."
    return UserFacingError(message, code="base_refused", hint=hint)


def _damaged(name: str) -> UserFacingError:
    message = f"The file {name} did not arrive as the hub states it."
    hint = "It was thrown away. Fetch again; what is complete is kept."
    return UserFacingError(message, code="hub_file_damaged", hint=hint)


@contextmanager
def in_plain_words(base: Base) -> Iterator[None]:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPStatusError) as error:
        raise _of_status(error.response.status_code, base) from None
    except (httpx2.HTTPError, OfflineModeIsEnabled) as error:
        logger.warning("fetch of %s: %s", base.hub_id, error)
        message = "The hub cannot be reached from this installation."
        hint = "What has arrived is kept. Fetch again later, or let your operator run "
        hint += f"manage.py fetch_base {base.name} --from FOLDER."
        raise UserFacingError(message, code="hub_unreachable", hint=hint) from None


def _of_status(status: int, base: Base) -> UserFacingError:
    if status in (401, 403, 404):
        code, message = "hub_not_found", f"The hub does not show {base.hub_id} at this revision."
        hint = "Ask your operator to check HF_ENDPOINT, or choose another base."
    elif status == 429:
        code, message = "hub_busy", "The hub takes no more requests from here just now."
        hint = "Wait some minutes, then fetch again; what has arrived is kept."
    else:
        code, message = "hub_trouble", f"The hub has trouble of its own (status {status})."
        hint = "Fetch again later; what has arrived is kept."
    return UserFacingError(message, code=code, hint=hint)
