"""The bridge to the dataset card: from a model, its run and a dataset's records to plain facts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from django.conf import settings
from django.db.models import Count

from distillation.models import DatasetRow, DatasetVersion, SourceDataset
from distillation.pipeline.card import CARD, CardFacts, CardSource, render_card
from distillation.pipeline.provenance import LabelledRows, tally
from distillation.teachers.said import teachers_of

# Rows by id ("": it is gone) and name of their source, and by licence.
Counts = Mapping[tuple[str, str, str], int]


def counts_of(rows: Iterable[DatasetRow]) -> Counts:
    """Of rows that are not in the database yet."""
    return Counter((str(row.source_id or ""), row.source_name, row.license) for row in rows)


def kept_counts(version: DatasetVersion) -> Counts:
    kept = version.rows.kept().order_by()
    counted = kept.values_list("source", "source_name", "license").annotate(rows=Count("id"))
    return {(str(source or ""), name, terms): rows for source, name, terms, rows in counted}


def labelled_counts(version: DatasetVersion) -> list[LabelledRows]:
    """Count the kept rows by who or what labelled them."""
    return tally(version.rows.kept().order_by().values_list("provenance", flat=True).iterator())


def facts_of_version(
    version: DatasetVersion, rows: Sequence[DatasetRow] | None = None
) -> CardFacts:
    """Kept rows count, refused ones do not. `rows` where they are not saved yet."""
    if rows is None:
        counts, labelled = kept_counts(version), labelled_counts(version)
    else:
        counts, labelled = counts_of(rows), tally(row.provenance for row in rows)
    model, run = version.model, version.run
    return CardFacts(
        title=f"{model.name}, dataset {version.number}",
        requirement=model.requirement,
        objective=model.objective,
        policy=model.policy,
        digest=version.digest,
        splits=version.split_counts,
        sources=_sources(counts),
        system_prompt=version.system_prompt,
        held_out=max(0, sum(version.split_counts.values()) - sum(counts.values())),
        intent=run.intent,
        funnel=run.funnel,
        label_map=run.label_map,
        labelled=labelled,
        teachers=teachers_of(source for source, _, _ in counts),
    )


def card_text(version: DatasetVersion) -> str:
    """Return the frozen card; of a dataset from before there were cards, what it would say."""
    path = settings.ARTIFACTS_DIR / version.folder / CARD
    if version.folder and path.is_file():
        return str(path.read_text(encoding="utf-8"))
    return render_card(facts_of_version(version))


def _sources(counts: Counts) -> list[CardSource]:
    """Most rows first. Of a source that is gone, name and licence are all that is left."""
    known = SourceDataset.objects.in_bulk({source for source, _, _ in counts if source})
    origins = {
        str(pk): (source.origin, source.revision, source.get_kind_display())
        for pk, source in known.items()
    }
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0][1:]))
    return [
        CardSource(name, terms, rows, *origins.get(source, ("", "", "")))
        for (source, name, terms), rows in ranked
    ]
