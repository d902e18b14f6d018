"""The bridge to the dataset card: from a model, its run and a dataset's records to plain facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count

from distillation.models import DatasetRow, DatasetVersion, SourceDataset
from distillation.pipeline import export
from distillation.pipeline.card import CARD, CardFacts, CardSource, render_card
from distillation.pipeline.types import Selection
from models_app.models import CustomModel

# Rows by id ("": it is gone) and name of their source, and by licence.
Counts = Mapping[tuple[str, str, str], int]


@dataclass(frozen=True)
class RunFacts:
    """What the card tells of the distillation run, in the shapes that its row keeps."""

    intent: Mapping[str, Any]
    funnel: Sequence[Mapping[str, Any]]
    label_map: Sequence[Mapping[str, Any]]


def facts_of_selection(
    model: CustomModel, number: int, selection: Selection, run: RunFacts
) -> CardFacts:
    """For the files of a dataset whose rows are not in the database yet."""
    rows = [row.candidate for row in selection.rows]
    return _facts(
        model,
        number,
        run,
        digest=selection.digest,
        splits=export.dataset_facts(selection)["splits"],
        counts=Counter((row.source_id, row.source, row.license) for row in rows),
        held_out=len(selection.held_out),
        system_prompt=selection.intent.system_prompt,
    )


def facts_of_version(version: DatasetVersion) -> CardFacts:
    """For a dataset whose rows are in the database: kept ones count, refused ones do not."""
    kept = version.rows.filter(decision=DatasetRow.Decision.KEPT).order_by()
    counted = kept.values_list("source", "source_name", "license").annotate(rows=Count("id"))
    counts = {(str(source or ""), name, terms): rows for source, name, terms, rows in counted}
    run = version.run
    return _facts(
        version.model,
        version.number,
        RunFacts(run.intent, run.funnel, run.label_map),
        digest=version.digest,
        splits=version.split_counts,
        counts=counts,
        held_out=max(0, sum(version.split_counts.values()) - sum(counts.values())),
        system_prompt=version.system_prompt,
    )


def card_text(version: DatasetVersion) -> str:
    """The frozen card; of a dataset from before there were cards, what it would say."""
    path = settings.ARTIFACTS_DIR / version.folder / CARD
    if version.folder and path.is_file():
        return str(path.read_text(encoding="utf-8"))
    return render_card(facts_of_version(version))


def _facts(
    model: CustomModel,
    number: int,
    run: RunFacts,
    *,
    digest: str,
    splits: Mapping[str, int],
    counts: Counts,
    held_out: int,
    system_prompt: str,
) -> CardFacts:
    return CardFacts(
        title=f"{model.name}, dataset {number}",
        requirement=model.requirement,
        objective=model.objective,
        policy=model.policy,
        digest=digest,
        splits=splits,
        sources=_sources(counts),
        system_prompt=system_prompt,
        held_out=held_out,
        intent=run.intent,
        funnel=run.funnel,
        label_map=run.label_map,
    )


def _sources(counts: Counts) -> list[CardSource]:
    """Most rows first. Of a source that is gone, name and licence are all that is left."""
    known = SourceDataset.objects.in_bulk({source for source, _, _ in counts if source})
    origins = {str(pk): (source.origin, source.revision) for pk, source in known.items()}
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0][1:]))
    return [
        CardSource(name, terms, rows, *origins.get(source, ("", "")))
        for (source, name, terms), rows in ranked
    ]
