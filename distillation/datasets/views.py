"""Pages of datasets: what was chosen for a model, and its files."""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from accounts.access import enter, org_for
from distillation.access import dataset_for
from distillation.curation import freezing
from distillation.curation.distributions import Counts, Facets, answers_of, facets_of, lengths_of
from distillation.curation.forms import RowFilterForm, closed_labels
from distillation.curation.services import rows_needed
from distillation.datasets.cards import card_text
from distillation.datasets.row_pages import Breakdown, breakdown, page_of
from distillation.models import DatasetRow, DatasetVersion
from distillation.pipeline.export import FileRecord
from distillation.pushes.views import push_context
from modelstation.core.errors import UserFacingError

SPLITS = DatasetRow.Split.values
SIBLINGS_SHOWN = 20
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
    facets = facets_of(version)
    answers = answers_of(version)
    form = filter_form(request, version, facets, answers)
    context = {
        "version": version,
        "splits": _splits(version),
        "breakdowns": _breakdowns(version, facets),
        "answer_breakdowns": _answer_breakdowns(version, answers),
        "task_kind": TASK_KINDS.get(version.run.intent_facts.task_kind, ""),
        "form": form,
        "page": page_of(request, form.shown(version.rows.all())),
        "is_filtered": any(value not in ("", None) for value in form.cleaned_data.values()),
        "facets": facets,
        "labels": closed_labels(version),
        "rows_missing": max(0, rows_needed(version) - version.row_count),
        "siblings": siblings_of(version),
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
    if version.is_draft:
        records = freezing.draft_records(version, wanted)
    else:
        records = _records([_file(version, f"{name}.jsonl") for name in wanted])
    response = StreamingHttpResponse(_chat_lines(records), content_type="application/jsonl")
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


def filter_form(
    request: HttpRequest, version: DatasetVersion, facets: Facets, answers: Counts
) -> RowFilterForm:
    are_labels = version.run.intent_facts.task_kind == "classify"
    return RowFilterForm(request.GET, facets=facets, labels=answers if are_labels else {})


def _breakdowns(version: DatasetVersion, facets: Facets) -> list[Breakdown]:
    """Of the rows that are kept. The test split counts the user's held-out rows too."""
    return [
        breakdown("Splits", _splits(version)),
        breakdown("Sources", facets.by("source_name", kept=True)),
        breakdown("Licences", facets.by("license", kept=True)),
        breakdown("Tasks", facets.by("task", kept=True)),
    ]


def _answer_breakdowns(version: DatasetVersion, answers: Counts) -> list[Breakdown]:
    are_labels = version.run.intent_facts.task_kind == "classify"
    lengths = lengths_of(version)
    result = [
        breakdown("Characters of the input", lengths["input"], ranked=False),
        breakdown("Characters of the answer", lengths["answer"], ranked=False),
    ]
    title = "Labels" if are_labels else "Keys of the answers"
    return [breakdown(title, answers), *result] if answers else result


def siblings_of(version: DatasetVersion) -> QuerySet[DatasetVersion]:
    """Return the model's other versions, to compare with."""
    others = DatasetVersion.objects.filter(model=version.model_id).exclude(id=version.id)
    siblings: QuerySet[DatasetVersion] = others.only("id", "number", "state")[:SIBLINGS_SHOWN]
    return siblings


def _splits(version: DatasetVersion) -> dict[str, int]:
    """Rows per split, in the order of their use; JSON columns keep no order."""
    counts = version.split_counts
    return {split: counts[split] for split in SPLITS if counts.get(split)}


def _file(version: DatasetVersion, name: str) -> Path:
    if version.is_draft:
        raise freezing.no_file(name)
    path = settings.ARTIFACTS_DIR / version.folder / name
    if not path.is_file():
        message = f"The file {name} of this dataset is no longer on the disk."
        hint = "Ask your operator, or build the model again for a new dataset."
        raise UserFacingError(message, code="file_missing", hint=hint)
    return Path(path)


def _records(files: Sequence[Path]) -> Iterator[FileRecord]:
    for path in files:
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _chat_lines(records: Iterable[FileRecord]) -> Iterator[str]:
    for record in records:
        yield json.dumps({"messages": record["messages"]}, ensure_ascii=False) + "\n"


def _download_name(version: DatasetVersion, split: str, suffix: str) -> str:
    parts = [version.model.slug, f"dataset-{version.number}", split]
    return f"{'-'.join(filter(None, parts))}.{suffix}"
