"""Pages of datasets: what was chosen for a model, and its files."""

import uuid

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from accounts.access import enter, org_for
from distillation.access import dataset_for
from distillation.curation.distributions import Counts, Facets, answers_of, facets_of, lengths_of
from distillation.curation.forms import RowFilterForm, closed_labels
from distillation.curation.services import rows_needed
from distillation.datasets import downloads
from distillation.datasets.cards import card_text
from distillation.datasets.coverage import coverage_of
from distillation.datasets.row_pages import Breakdown, breakdown, page_of
from distillation.models import DatasetRow, DatasetVersion
from distillation.pipeline.types import TASK_KINDS
from distillation.pushes.views import push_context

SPLITS = DatasetRow.Split.values
SIBLINGS_SHOWN = 20


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
        "task_kind": _in_a_sentence(TASK_KINDS.get(version.run.intent_facts.task_kind, "")),
        "form": form,
        "page": page_of(request, form.shown(version.rows.all())),
        "is_filtered": any(value not in ("", None) for value in form.cleaned_data.values()),
        "facets": facets,
        "labels": closed_labels(version),
        "rows_missing": max(0, rows_needed(version) - version.row_count),
        "siblings": siblings_of(version),
        "unseen": coverage_of(version).sentence,
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
    return downloads.jsonl(version, split, chat_only=True)


@login_required
@require_GET
def dataset_parquet(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> FileResponse:
    """All rows with their split, source, licence, score and reason."""
    return downloads.parquet(dataset_for(org_for(request, org), dataset_id))


@login_required
@require_GET
def dataset_card(request: HttpRequest, org: str, dataset_id: uuid.UUID) -> HttpResponse:
    """README.md as the hub reads it: requirement, sources, licences, funnel, digest."""
    version = dataset_for(org_for(request, org), dataset_id)
    response = HttpResponse(card_text(version), content_type="text/markdown; charset=utf-8")
    name = downloads.download_name(version, "card", "md")
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
    title = "Labels" if are_labels else "Keys of the answers"
    return [
        *([breakdown(title, answers)] if answers else []),
        breakdown("Characters of the input", lengths["input"], ranked=False),
        breakdown("Characters of the answer", lengths["answer"], ranked=False),
    ]


def siblings_of(version: DatasetVersion) -> QuerySet[DatasetVersion]:
    others = DatasetVersion.objects.filter(model=version.model_id).exclude(id=version.id)
    siblings: QuerySet[DatasetVersion] = others.only("id", "number", "state")[:SIBLINGS_SHOWN]
    return siblings


def _splits(version: DatasetVersion) -> dict[str, int]:
    """Rows per split, in the order of their use; JSON columns keep no order."""
    counts = version.split_counts
    return {split: counts[split] for split in SPLITS if counts.get(split)}


def _in_a_sentence(words: str) -> str:
    return words[:1].lower() + words[1:]
