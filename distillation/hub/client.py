"""The hub, as far as it is read: lists, descriptions, the first rows of a file, whole files. Only
within `bounds.bounded`. No Django inside.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from distillation.hub.bounds import HubError
from distillation.hub.candidates import HubFile, Listing, Part, parts_of
from distillation.imports.reading.errors import ImportRefused
from distillation.imports.reading.json_rows import RawRow
from distillation.imports.reading.readers import read_rows
from distillation.imports.reading.streams import Limits
from distillation.imports.reading.table_rows import PARQUET_BATCH, plain
from distillation.logs.formats.unpack import unpacked
from distillation.pipeline.licenses import UNKNOWN

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo

FIRST_BYTES = 384 << 10  # of a text file, for its first rows
EXPANDED_BYTES = 4 << 20  # that those may expand to
PARQUET_BYTES = 12 << 20  # that a look into a Parquet file may read
PARQUET_ROWS = 12_000  # of a row group that are looked at
PLACES, PLACE_BYTES = 6, 64 << 10  # further on in a text file, so that more than one label shows
BLOCK_BYTES = 128 << 10
MOST_FILE_BYTES = 1 << 30
SHOWN_PER_QUERY = 25
COMMIT = re.compile(r"[0-9a-f]{40}")
REPO_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
TEXT_LIMITS = Limits(expanded_bytes=EXPANDED_BYTES * 2)
Report = Callable[[int, int], None]  # bytes done of bytes in all


@dataclass(frozen=True)
class Query:
    """One question to the hub: words of a name, or what its tags say."""

    search: str = ""
    filters: tuple[str, ...] = ()
    limit: int = SHOWN_PER_QUERY

    def __str__(self) -> str:
        return " ".join(filter(None, [self.search, *self.filters])) or "what is used most"


def find(api: HfApi, query: Query) -> list[str]:
    """Return ids, most downloaded first."""
    found = api.list_datasets(
        search=query.search or None,
        filter=query.filters or None,
        sort="downloads",
        limit=query.limit,
    )
    return [info.id for info in found if REPO_ID.fullmatch(str(info.id))]


def describe(api: HfApi, repo_id: str, revision: str = "") -> Listing:
    """Return what the hub says of a data set; `revision` pins it."""
    info = api.dataset_info(repo_id, revision=revision or None, files_metadata=True)
    if info.id != repo_id or not COMMIT.fullmatch(str(info.sha)):
        message = f"The hub answers for {repo_id} with something else."
        raise HubError(message, code="hub_lies", hint="Check HF_ENDPOINT.")
    if revision and info.sha != revision:
        message = f"The hub answered with another revision of {repo_id} than the one requested."
        raise HubError(message, code="hub_wrong_revision", hint="Nothing was kept. Search again.")
    card: dict[str, Any] = dict(info.card_data.to_dict()) if info.card_data else {}  # type: ignore[no-untyped-call]
    files = [_file(sibling) for sibling in info.siblings or () if _is_safe(sibling.rfilename)]
    configs = [config for config in _list(card.get("configs")) if isinstance(config, dict)]
    return Listing(
        repo_id=repo_id,
        revision=str(info.sha),
        license=_license(card, info),
        languages=tuple(str(name)[:8] for name in _list(card.get("language")))[:8],
        downloads=int(info.downloads or 0),
        description=str(info.description or card.get("pretty_name") or "").strip()[:600],
        gated=bool(info.gated) or bool(info.disabled),
        parts=parts_of(files, configs),
        needs_script=any(file.path.endswith(".py") for file in files),
        labels=_labels(card),
    )


def _file(sibling: Any) -> HubFile:
    sha256 = sibling.lfs.sha256 if sibling.lfs else ""
    return HubFile(sibling.rfilename, int(sibling.size or 0), sha256)


def _is_safe(path: str) -> bool:
    """No way out of the repository, and nothing that a URL would read otherwise."""
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/") and len(path) < 300


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _license(card: Mapping[str, Any], info: DatasetInfo) -> str:
    """Return the licence of its card or its tags; several of them all hold."""
    stated = [str(name) for name in _list(card.get("license"))]
    stated = stated or [tag[8:] for tag in info.tags or () if tag.startswith("license:")]
    if "other" in stated and (named := card.get("license_name")):
        stated = [str(named)]
    return " and ".join(sorted(stated))[:80] or UNKNOWN


def _labels(card: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the names of the numbers in each column of labels."""
    named = {}
    for facts in _list(card.get("dataset_info")):
        for feature in _list(facts.get("features")) if isinstance(facts, dict) else []:
            if not isinstance(feature, dict):
                continue
            kind = feature.get("dtype")
            names = kind.get("class_label", {}).get("names") if isinstance(kind, dict) else None
            if isinstance(names, dict):
                ordered = sorted(names.items(), key=lambda item: int(item[0]))
                named[str(feature.get("name"))] = tuple(str(name) for _, name in ordered)
            elif isinstance(names, list):
                named[str(feature.get("name"))] = tuple(map(str, names))
    return named


# --- rows -----------------------------------------------------------------------------------------


def some_rows(api: HfApi, listing: Listing, part: Part, folder: Path, most: int) -> list[RawRow]:
    """Return rows of the part's first file from its beginning and places further on, by ranges.

    Many files are sorted by label: their beginning alone would show one or two.
    """
    file = part.files[0]
    url = _url(api, listing, file)
    if _ending(file.path) == ".parquet":
        return _spread(_parquet_rows(url, api, file, most), most)
    data = fetch_range(url, api, 0, min(FIRST_BYTES, max(file.size, 1)) - 1)[:FIRST_BYTES]
    is_whole = len(data) >= file.size
    if file.path.lower().endswith(".gz"):
        data, is_whole = _expanded(data)
    elif not is_whole and _ending(file.path) != ".json":
        data = b"".join([_whole_lines(data), *_further_on(url, api, file)])
    if not is_whole and _ending(file.path) != ".json":
        data = _whole_lines(data)
    path = folder / f"look{_ending(file.path)}"
    path.write_bytes(data)
    return _spread(_rows_until_the_cut(path), most)


def _further_on(url: str, api: HfApi, file: HubFile) -> Iterator[bytes]:
    """Yield whole lines from evenly spread places behind the beginning."""
    step = (file.size - FIRST_BYTES) // (PLACES + 1)
    for place in range(1, PLACES + 1):
        start = FIRST_BYTES + place * step
        data = fetch_range(url, api, start, min(start + PLACE_BYTES, file.size) - 1)
        yield _whole_lines(data[data.find(b"\n") + 1 :])


def _whole_lines(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]


def _spread(rows: list[RawRow], most: int) -> list[RawRow]:
    """Return `most` of them, evenly from first to last."""
    if len(rows) <= most:
        return rows
    return [rows[place * len(rows) // most] for place in range(most)]


def _rows_until_the_cut(path: Path) -> list[RawRow]:
    """Return whole rows; what the cuts broke is no fault of the file."""
    rows: list[RawRow] = []
    try:
        for row in unpacked(read_rows(path, TEXT_LIMITS), path.name):
            if isinstance(row, RawRow):
                rows.append(row)
    except ImportRefused:
        if not rows:
            raise
    return rows


def _expanded(data: bytes) -> tuple[bytes, bool]:
    """Unpack the beginning of a gzip file, up to a limit."""
    unpacking = zlib.decompressobj(wbits=31)
    try:
        plain_bytes = unpacking.decompress(data, EXPANDED_BYTES)
    except zlib.error as error:
        message = "Its file is no gzip file, though its name says so."
        raise HubError(message, code="hub_broken_file") from error
    return plain_bytes, unpacking.eof


def _parquet_rows(url: str, api: HfApi, file: HubFile, most: int) -> list[RawRow]:
    import pyarrow
    from pyarrow import parquet

    source: Any = RangedFile(url, api, file.size)
    try:
        table = parquet.ParquetFile(source, pre_buffer=False, buffer_size=BLOCK_BYTES)
        found = [row for group in _groups(table) for row in _rows_of(table, group, most)]
    except (pyarrow.ArrowException, OSError) as error:
        message = "Its Parquet file is cut off or damaged."
        raise HubError(message, code="hub_broken_file") from error
    return [
        RawRow(number, {name: plain(value) for name, value in data.items()})
        for number, data in enumerate(found, 1)
    ]


def _groups(table: Any) -> list[int]:
    """Return a few row groups, evenly spread."""
    count = table.num_row_groups
    return sorted({place * count // PLACES for place in range(PLACES)}) if count else []


def _rows_of(table: Any, group: int, most: int) -> list[dict[str, Any]]:
    """Return rows of the group, evenly spread over its first thousands."""
    rows: list[dict[str, Any]] = []
    columns = _text_columns(table)
    try:
        for batch in table.iter_batches(PARQUET_BATCH, row_groups=[group], columns=columns):
            rows += batch.to_pylist()[:: max(1, PARQUET_BATCH // most)]
            if len(rows) >= PARQUET_ROWS:
                break
    except HubError:
        if not rows:
            raise
    return rows


def _text_columns(table: Any) -> list[str]:
    """Pictures and sounds are structures of bytes: they are left unread."""
    return [field.name for field in table.schema_arrow if "binary" not in str(field.type)]


class RangedFile(io.RawIOBase):
    """A file of the hub, of which only the blocks that are asked for are fetched."""

    def __init__(self, url: str, api: HfApi, size: int) -> None:
        self._url, self._api, self._size = url, api, size
        self._at = 0
        self._blocks: dict[int, bytes] = {}
        self._fetched = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = min(max(0, start + offset), self._size)
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        parts = []
        while self._at < end:
            number, skip = divmod(self._at, BLOCK_BYTES)
            taken = self._block(number)[skip : skip + end - self._at]
            if not taken:
                break
            parts.append(taken)
            self._at += len(taken)
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * BLOCK_BYTES
            last = min(start + BLOCK_BYTES, self._size) - 1
            self._fetched += last - start + 1
            if self._fetched > PARQUET_BYTES:
                message = "Its first rows take too much to read: its row groups are very large."
                raise HubError(message, code="hub_too_much")
            self._blocks[number] = fetch_range(self._url, self._api, start, last)
        return self._blocks[number]


def fetch_range(url: str, api: HfApi, start: int, last: int) -> bytes:
    """Return these bytes. A hub that ignores the range is cut off where they end."""
    from huggingface_hub import get_session

    headers = {**_headers(api), "Range": f"bytes={start}-{last}"}
    wanted = last - start + 1
    data = b""
    with get_session().stream("GET", url, headers=headers) as response:
        if response.status_code == 416:
            return b""
        response.raise_for_status()
        skip = 0 if response.status_code == 206 else start
        for chunk in response.iter_raw():
            data += chunk
            if len(data) >= skip + wanted:
                break
    return data[skip : skip + wanted]


def download(api: HfApi, listing: Listing, file: HubFile, folder: Path, report: Report) -> Path:
    """Fetch a whole file into the folder, checked against what the hub states of it."""
    from huggingface_hub import get_session

    if file.size > MOST_FILE_BYTES:
        message = f"{file.path} has {file.size / 1e9:.1f} GB; at most 1 GB is fetched."
        raise HubError(message, code="hub_too_large", hint="Choose another configuration or split.")
    path = folder / f"{len(list(folder.iterdir())):03}{_ending(file.path)}"
    path = path.with_name(path.name + (".gz" if file.path.lower().endswith(".gz") else ""))
    digest, done = hashlib.sha256(), 0
    url = _url(api, listing, file)
    with (
        get_session().stream("GET", url, headers=_headers(api)) as response,
        path.open("wb") as out,
    ):
        response.raise_for_status()
        for chunk in response.iter_raw():
            done += len(chunk)
            if done > file.size:
                break
            digest.update(chunk)
            out.write(chunk)
            report(done, file.size)
    if done != file.size or (file.sha256 and digest.hexdigest() != file.sha256):
        message = f"{file.path} did not arrive as the hub states it."
        raise HubError(message, code="hub_file_damaged", hint="Nothing of it was kept. Try again.")
    return path


def _url(api: HfApi, listing: Listing, file: HubFile) -> str:
    from huggingface_hub import hf_hub_url

    return hf_hub_url(
        listing.repo_id,
        file.path,
        repo_type="dataset",
        revision=listing.revision,
        endpoint=api.endpoint,
    )


def _headers(api: HfApi) -> dict[str, str]:
    from huggingface_hub.utils._headers import build_hf_headers

    return build_hf_headers(token=api.token)


def _ending(path: str) -> str:
    return PurePosixPath(path.lower().removesuffix(".gz")).suffix


def only_part(listing: Listing, config: str, split: str) -> Part:
    """Return the chosen part. Raise HubError where there is none of that name."""
    for part in listing.parts:
        if config in ("", part.config) and split in ("", part.split):
            return part
    known = ", ".join(f"{part.config} / {part.split}" for part in listing.parts[:8])
    message = f"{listing.repo_id} has no part “{config} / {split}”."
    raise HubError(message, code="hub_no_part", hint=f"It has {known or 'none that can be read'}.")
