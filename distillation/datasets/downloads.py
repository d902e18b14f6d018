"""The files of a dataset as downloads, for pages and API alike."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings
from django.http import FileResponse, StreamingHttpResponse
from django.utils.http import content_disposition_header

from distillation.curation import freezing
from distillation.models import DatasetRow, DatasetVersion
from modelstation.core.errors import Conflict, NotFound


def jsonl(version: DatasetVersion, split: str, *, chat_only: bool = False) -> StreamingHttpResponse:
    """Lines of one split, or of all; of a draft, its kept rows. `chat_only`: their messages."""
    splits = [split] if split else DatasetRow.Split.values
    lines: Iterable[str]
    if version.is_draft:
        lines = map(_line, freezing.draft_records(version, splits))
    else:
        lines = _lines([_file(version, f"{name}.jsonl") for name in splits])
    if chat_only:
        lines = (_line({"messages": json.loads(line)["messages"]}) for line in lines)
    response = StreamingHttpResponse(lines, content_type="application/jsonl")
    name = download_name(version, split, "jsonl")
    response["Content-Disposition"] = content_disposition_header(True, name)
    return response


def parquet(version: DatasetVersion) -> FileResponse:
    return FileResponse(
        _file(version, "dataset.parquet").open("rb"),
        as_attachment=True,
        filename=download_name(version, "", "parquet"),
        content_type="application/vnd.apache.parquet",
    )


def download_name(version: DatasetVersion, part: str, suffix: str) -> str:
    parts = [version.model.slug, f"dataset-{version.number}", part]
    return f"{'-'.join(filter(None, parts))}.{suffix}"


def _file(version: DatasetVersion, name: str) -> Path:
    if version.is_draft:
        hint = "Freeze it first; its rows can be had as JSONL now."
        raise Conflict(f"A draft has no file {name} yet.", code="dataset_draft", hint=hint)
    path = Path(settings.ARTIFACTS_DIR, version.folder, name)
    if not path.is_file():
        message = f"The file {name} of this dataset is no longer on the disk."
        hint = "Ask your operator, or build the model again for a new dataset."
        raise NotFound(message, code="file_missing", hint=hint)
    return path


def _line(record: object) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _lines(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            yield from lines
