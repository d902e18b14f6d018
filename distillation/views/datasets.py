"""Pages of datasets: what was chosen for a model, and its files."""

import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from accounts.access import enter, org_for
from distillation.access import dataset_for
from distillation.cards import card_text
from distillation.forms import RowFilterForm
from distillation.models import DatasetRow, DatasetVersion
from distillation.views.pushes import push_context
from distillation.views.rows import breakdown, counts_by_task, page_of
from modelstation.core.errors import UserFacingError

SPLITS = DatasetRow.Split.values
TASK_KINDS = {
    "classify": "label each input",
    "extract_json": "extract facts as JSON",
    "sql": "write SQL",
    "number": "work out a number",
    "generate": "write a text",
}


@login_required
@require_GET
def dataset(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org)
    version = dataset_for(membership.org, dataset_id)
    form = RowFilterForm(request.GET, version=version)
    context = {
        "version": version,
        "splits": _splits(version),
        "breakdowns": _breakdowns(version),
        "tasks": breakdown("Tasks", counts_by_task(version.rows.all())),
        "task_kind": TASK_KINDS.get(version.run.intent.get("task_kind", ""), ""),
        "form": form,
        "page": page_of(request, form.filtered(version.rows.all())),
        "is_filtered": any(form.cleaned_data.values()),
        **push_context(version, membership),
    }
    return render(request, "distillation/dataset.html", context)


@login_required
@require_GET
def dataset_jsonl(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> StreamingHttpResponse:
    """OpenAI chat lines of `?split=train|valid|test`, or of all three."""
    version = dataset_for(org_for(request, org), dataset_id)
    split = request.GET.get("split", "")
    if split and split not in SPLITS:
        raise Http404(f"A dataset has no split “{split}”.")
    wanted = [split] if split else list(_splits(version))
    files = [_file(version, f"{name}.jsonl") for name in wanted]
    response = StreamingHttpResponse(_chat_lines(files), content_type="application/jsonl")
    name = _download_name(version, split, "jsonl")
    response["Content-Disposition"] = content_disposition_header(True, name)
    return response


@login_required
@require_GET
def dataset_parquet(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> FileResponse:
    """All rows with their split, source, licence, score and reason."""
    version = dataset_for(org_for(request, org), dataset_id)
    return FileResponse(
        _file(version, "dataset.parquet").open("rb"),
        as_attachment=True,
        filename=_download_name(version, "", "parquet"),
        content_type="application/vnd.apache.parquet",
    )


@login_required
@require_GET
def dataset_card(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    """README.md as the hub reads it: requirement, sources, licences, funnel, digest."""
    version = dataset_for(org_for(request, org), dataset_id)
    response = HttpResponse(card_text(version), content_type="text/markdown; charset=utf-8")
    name = _download_name(version, "card", "md")
    response["Content-Disposition"] = content_disposition_header(True, name)
    return response


# --- helpers --------------------------------------------------------------------------------------


def _breakdowns(version: DatasetVersion) -> list[dict[str, Any]]:
    return [
        breakdown("Splits", _splits(version)),
        breakdown("Sources", version.source_counts),
        breakdown("Licences", version.license_counts),
    ]


def _splits(version: DatasetVersion) -> dict[str, int]:
    """Rows per split, in the order of their use; JSON columns keep no order."""
    counts = version.split_counts
    return {split: counts[split] for split in SPLITS if counts.get(split)}


def _file(version: DatasetVersion, name: str) -> Path:
    path = settings.ARTIFACTS_DIR / version.folder / name
    if not path.is_file():
        raise UserFacingError(
            f"The file {name} of this dataset is no longer on the disk.",
            code="file_missing",
            hint="Ask your operator, or build the model again for a new dataset.",
        )
    return Path(path)


def _chat_lines(files: Sequence[Path]) -> Iterator[str]:
    for path in files:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                messages = {"messages": json.loads(line)["messages"]}
                yield json.dumps(messages, ensure_ascii=False) + "\n"


def _download_name(version: DatasetVersion, split: str, suffix: str) -> str:
    parts = [version.model.slug, f"dataset-{version.number}", split]
    return f"{'-'.join(filter(None, parts))}.{suffix}"
