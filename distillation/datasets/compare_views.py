"""The page that lays two versions of a dataset side by side."""

import uuid
from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import org_for
from distillation.access import dataset_for, sibling_for
from distillation.curation.distributions import Counts, distributions_of
from distillation.datasets.comparing import KINDS, counts_of, pairs_of
from distillation.datasets.row_pages import BARS, page_of
from distillation.datasets.views import siblings_of
from distillation.models import DatasetVersion

TITLES = {
    "splits": "Splits",
    "sources": "Sources",
    "licenses": "Licences",
    "answers": "Labels and keys of the answers",
    "input_lengths": "Characters of the input",
    "answer_lengths": "Characters of the answer",
}


@dataclass(frozen=True)
class SideBySide:
    """One distribution of two versions: each group with its rows in the one and in the other."""

    title: str
    largest: int
    bars: list[tuple[str, int, int]]
    more_groups: int


@login_required
@require_GET
def dataset_compare(
    request: HttpRequest, org: str, dataset_id: uuid.UUID, other_id: uuid.UUID
) -> HttpResponse:
    first = dataset_for(org_for(request, org), dataset_id)
    second = sibling_for(first, other_id)
    counts = counts_of(first, second)
    kind = request.GET.get("kind", "")
    if kind not in KINDS:
        by_interest = ("changed", "only_second", "only_first")
        kind = next((kind for kind in by_interest if counts[kind]), "same")
    page = page_of(request, range(counts[kind]))
    context = {
        "version": first,
        "other": second,
        "counts": counts,
        "kind": kind,
        "page": page,
        "pairs": pairs_of(first, second, kind, list(page)),
        "distributions": _side_by_side(first, second),
        "siblings": siblings_of(first),
    }
    return render(request, "distillation/dataset_compare.html", context)


def _side_by_side(first: DatasetVersion, second: DatasetVersion) -> list[SideBySide]:
    one, two = distributions_of(first), distributions_of(second)
    return [
        beside(title, one[name], two[name])
        for name, title in TITLES.items()
        if one[name] or two[name]
    ]


def beside(title: str, one: Counts, two: Counts) -> SideBySide:
    """Return the largest groups of both."""
    names = list(dict.fromkeys([*one, *two]))
    ranked = sorted(names, key=lambda name: -max(one.get(name, 0), two.get(name, 0)))
    shown = set(ranked[:BARS])
    return SideBySide(
        title=title,
        largest=max([*one.values(), *two.values()], default=0),
        bars=[(name, one.get(name, 0), two.get(name, 0)) for name in names if name in shown],
        more_groups=len(names) - len(shown),
    )
