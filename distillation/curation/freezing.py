"""What makes a version frozen: its counts, its digest and its files, from its rows alone.

A dataset that is frozen at once and one that a person curated first both pass through here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from accounts.models import User
from distillation.models import CandidateRow, DatasetRow, DatasetVersion
from distillation.pipeline import export
from distillation.pipeline.card import CardFacts, write_card
from distillation.pipeline.types import Example
from distillation.pipeline.understand.row_format import held_out_messages
from modelstation.core.artifacts import write_artifact

ROWS_AT_ONCE = 2000
# Rows by split, source and licence.
Groups = Mapping[tuple[str, str, str], int]


def groups_of(rows: Iterable[DatasetRow]) -> Groups:
    """Of rows that are not in the database yet."""
    return Counter((row.split, row.source_name, row.license) for row in rows)


def kept_groups(version: DatasetVersion) -> Groups:
    kept = version.rows.kept().order_by().values_list("split", "source_name", "license")
    return {(split, source, terms): n for split, source, terms, n in kept.annotate(n=Count("id"))}


def held_out_of(version: DatasetVersion) -> export.HeldOut:
    """Return the user's own test rows: always in the test split, never rows of the version."""
    pairs = [Example(row["input"], row["output"]) for row in version.model.test_rows]
    return held_out_messages(version.system_prompt, pairs)


def count(version: DatasetVersion, groups: Groups) -> None:
    """Set what the version says of its rows, most first; the caller saves it."""
    splits = dict.fromkeys(export.SPLITS, 0) | _sums(groups, 0)
    splits["test"] += len(version.model.test_rows)
    version.row_count = sum(groups.values())
    version.split_counts = splits
    version.source_counts = _sums(groups, 1)
    version.license_counts = _sums(groups, 2)


COUNT_FIELDS = ("row_count", "split_counts", "source_counts", "license_counts")


def _sums(groups: Groups, place: int) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for group, rows in groups.items():
        sums[group[place]] += rows
    return dict(sums.most_common())


def seal(version: DatasetVersion, rows: Iterable[export.Dealt], *, by: User | None = None) -> None:
    """Set what a frozen version has and a draft has not; the caller saves it."""
    version.digest = export.dataset_digest(rows, held_out_of(version))
    version.state = DatasetVersion.State.FROZEN
    version.frozen_at = timezone.now()
    version.frozen_by = by


SEAL_FIELDS = ("digest", "state", "frozen_at", "frozen_by", "folder")


def write_files(version: DatasetVersion, rows: Iterable[DatasetRow], card: CardFacts) -> None:
    """Into the version's folder, whole or not at all."""

    def fill(target: Path) -> None:
        export.write_dataset(target, rows, held_out_of(version))
        write_card(target, card)

    write_artifact(
        settings.ARTIFACTS_DIR / version.folder, fill, kind="dataset", facts=manifest_facts(version)
    )


def mark_used(version: DatasetVersion) -> None:
    """Mark the corrections that a frozen version holds; in the transaction that freezes it."""
    held = version.rows.kept().exclude(candidate=None).values("candidate")
    taken = CandidateRow.objects.filter(id__in=held).exclude(state=CandidateRow.State.DISMISSED)
    taken.update(state=CandidateRow.State.USED, dataset=version, refusal="")


def manifest_facts(version: DatasetVersion) -> dict[str, Any]:
    funnel = version.run.funnel
    return {
        "digest": version.digest,
        "rows": version.row_count,
        "splits": version.split_counts,
        "sources": version.source_counts,
        "licenses": version.license_counts,
        "system_prompt": version.system_prompt,
        "funnel": [{"filter": step["filter"], "refused": step["refused"]} for step in funnel],
    }


def draft_records(version: DatasetVersion, splits: Iterable[str]) -> Iterator[export.FileRecord]:
    """Stream what the files would hold if the draft were frozen now."""
    for split in splits:
        kept = version.rows.kept().filter(split=split)
        yield from map(export.row_record, kept.iterator(ROWS_AT_ONCE))
        if split == "test":
            yield from map(export.held_out_record, held_out_of(version))
