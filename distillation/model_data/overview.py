"""Where the rows of a model come from: what is found and missing per label or field, each source
in use, and the ways to more. For the page and the API.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from distillation.models import (
    CorpusExample,
    DatasetRow,
    DatasetVersion,
    DistillationRun,
    ImportRun,
    Labelling,
    ModelSource,
    SourceDataset,
    TeacherRun,
)
from distillation.pipeline.text import clip, input_text
from distillation.pipeline.types import IntentSpec, SelectionConfig
from distillation.pipeline.understand.labels import label_key, learn_labels
from models_app.models import CustomModel
from models_app.understanding import understood
from modelstation.core.models import Job

MIN_PER_LABEL = 10  # below it, a label is learned badly however many rows there are in all
SAMPLES = 3
SAMPLE_CHARS = 300
READ_ANSWERS = 5_000  # of each source, where fields are counted
RELATED_SHOWN = 6
MOST_LABELS = 200
ALL_ROWS = "rows"
# Rows of an import that has not ended may be taken back yet.
_UNFINISHED = Q(import_run__state=ImportRun.State.RUNNING, import_run__isnull=False)


@dataclass(frozen=True)
class Need:
    """A label, or a field of the answers, or all rows; and how many rows have it."""

    name: str
    found: int
    wanted: int

    @property
    def missing(self) -> int:
        return max(0, self.wanted - self.found)


@dataclass(frozen=True)
class Sample:
    input: str
    answer: str


@dataclass(frozen=True)
class SourceLine:
    """A source that the model uses, or that is related to what it does."""

    source: SourceDataset
    samples: list[Sample]
    is_chosen: bool = False  # a person said that its rows are used
    rows_in_dataset: int = 0  # of the newest dataset
    outside: list[tuple[str, int]] = field(default_factory=list)  # labels that are not the model's
    labels: list[tuple[str, int]] = field(default_factory=list)  # of its answers, most first
    why: str = ""

    @property
    def rows_outside(self) -> int:
        return sum(rows for _, rows in self.outside)


@dataclass(frozen=True)
class DataOverview:
    model: CustomModel
    intent: IntentSpec
    needs: list[Need]
    sources: list[SourceLine]
    related: list[SourceLine]
    imports: list[ImportRun]  # of this model, that have not ended
    labelling: Labelling | None  # whose rows are being stored
    teacher_runs: list[TeacherRun]  # that have not ended
    dataset: DatasetVersion | None

    @property
    def is_loading(self) -> bool:
        is_importing = any(run.state == ImportRun.State.RUNNING for run in self.imports)
        return is_importing or self.labelling is not None or bool(self.teacher_runs)

    @property
    def unit(self) -> str:
        if self.intent.task_kind == "classify" and self.intent.labels:
            return "label"
        return "field" if self.intent.task_kind == "extract_json" and self.needs[1:] else "answer"

    @property
    def missing(self) -> list[Need]:
        return [need for need in self.needs if need.missing]

    @property
    def is_enough(self) -> bool:
        return not self.missing

    @property
    def offered_labels(self) -> list[str]:
        """Return the labels of the chosen sources, where the requirement names none."""
        if self.intent.task_kind != "classify" or self.intent.labels_closed:
            return []
        chosen = (line for line in self.sources if line.is_chosen)
        counted = Counter({label: n for line in chosen for label, n in line.labels})
        return [label for label, _ in counted.most_common(MOST_LABELS)]


def data_overview(model: CustomModel) -> DataOverview:
    run = model.distillation_runs.first()
    intent = understood(model)
    dataset = model.dataset_versions.select_related("run").first()
    chosen = [use.source for use in _uses(model)]
    lines = [_chosen_line(source, intent, dataset) for source in chosen]
    found = _found_by_search(dataset, chosen)
    lines += found
    used = {line.source.id for line in lines}
    return DataOverview(
        model=model,
        intent=intent,
        needs=_with_gap(list(_needs(model, intent, chosen, dataset)), run, dataset),
        sources=lines,
        related=_related(model, run, used),
        imports=list(_open_imports(model)),
        labelling=Labelling.objects.storing(model).first(),
        teacher_runs=list(_live_teacher_runs(model)),
        dataset=dataset,
    )


def _uses(model: CustomModel) -> QuerySet[ModelSource]:
    uses: QuerySet[ModelSource] = ModelSource.objects.filter(model=model).select_related("source")
    return uses


def _open_imports(model: CustomModel) -> QuerySet[ImportRun]:
    is_open = Q(state__in=[ImportRun.State.UPLOADED, ImportRun.State.RUNNING])
    return ImportRun.objects.filter(is_open, model=model).select_related("job")


def _live_teacher_runs(model: CustomModel) -> QuerySet[TeacherRun]:
    return TeacherRun.objects.filter(model=model, job__state__in=Job.LIVE_STATES).select_related(
        "job"
    )


# --- What is found and missing --------------------------------------------------------------------


def _needs(
    model: CustomModel,
    intent: IntentSpec,
    chosen: list[SourceDataset],
    dataset: DatasetVersion | None,
) -> Iterator[Need]:
    """Count over the sources chosen for the model, and what the search found for its last dataset.

    What is wanted is the least of which anything is trained; the model may ask for more.
    """
    config = SelectionConfig()
    least = min(config.minimum_rows, model.rows)
    rows = CorpusExample.objects.filter(source__in=chosen).exclude(_UNFINISHED)
    searched = _rows_by_search(dataset, chosen)
    if intent.task_kind == "classify" and intent.labels:
        yield from _label_needs(intent, _counted(rows), _counted(searched), least)
    elif intent.task_kind == "extract_json" and intent.json_keys:
        yield from _field_needs(intent, rows, searched, least)
    else:
        yield Need(ALL_ROWS, rows.count() + searched.count(), least)


def _with_gap(
    needs: list[Need], run: DistillationRun | None, dataset: DatasetVersion | None
) -> list[Need]:
    """Count what the last run found too, where it made no dataset of it."""
    gap = run.intent_facts.gap if run else None
    if run is None or gap is None or (dataset and dataset.run_id == run.id):
        return needs
    found = {label_key(name): rows for name, rows in gap.found.items()}
    found[label_key(ALL_ROWS)] = gap.available
    return [
        replace(need, found=max(need.found, found.get(label_key(need.name), 0))) for need in needs
    ]


def _label_needs(
    intent: IntentSpec, own: Mapping[str, int], searched: Mapping[str, int], least: int
) -> Iterator[Need]:
    found: Counter[str] = Counter()
    for counted in (own, searched):
        for answer, rows in counted.items():
            found[label_key(answer)] += rows
    wanted = max(MIN_PER_LABEL, ceil(least / len(intent.labels)))
    for label in intent.labels:
        yield Need(label, found[label_key(label)], wanted)


def _field_needs(
    intent: IntentSpec,
    rows: QuerySet[CorpusExample],
    searched: QuerySet[DatasetRow],
    least: int,
) -> Iterator[Need]:
    answers = [*_answers(rows), *_answers(searched)]
    filled: Counter[str] = Counter()
    for answer in answers:
        filled.update(_filled_fields(answer))
    yield Need(ALL_ROWS, len(answers), least)
    for key in intent.json_keys:
        yield Need(key, filled[key], MIN_PER_LABEL)


def _filled_fields(answer: str) -> list[str]:
    try:
        parsed = json.loads(answer)
    except ValueError:
        return []
    if not isinstance(parsed, dict):
        return []
    return [key for key, value in parsed.items() if value not in (None, "", [])]


def _spoken(rows: Any) -> Any:
    """With `said`, the answer: the last turn."""
    return rows.annotate(said=KeyTextTransform("content", KeyTransform("-1", "messages")))


def _counted(rows: Any) -> dict[str, int]:
    groups = _spoken(rows).order_by().values("said").annotate(n=Count("id"))
    return {group["said"]: group["n"] for group in groups.order_by("-n")[: 10 * MOST_LABELS]}


def _answers(rows: Any) -> list[str]:
    return list(_spoken(rows).values_list("said", flat=True)[:READ_ANSWERS])


def _rows_by_search(
    dataset: DatasetVersion | None, chosen: list[SourceDataset]
) -> QuerySet[DatasetRow]:
    """Return rows of the newest dataset that no chosen source gave."""
    if dataset is None:
        return DatasetRow.objects.none()
    kept = DatasetRow.objects.filter(version=dataset, decision=DatasetRow.Decision.KEPT)
    return kept.exclude(source__in=chosen)


# --- The sources ----------------------------------------------------------------------------------


def _chosen_line(
    source: SourceDataset, intent: IntentSpec, dataset: DatasetVersion | None
) -> SourceLine:
    counted = _counted(CorpusExample.objects.filter(source=source))
    known = {label_key(label) for label in intent.labels}
    is_closed = intent.task_kind == "classify" and intent.labels_closed
    outside = [(said, n) for said, n in counted.items() if label_key(said) not in known]
    repeated = learn_labels(said for said, n in counted.items() for _ in range(min(n, 2)))
    labels = [(label, _rows_of(label, counted)) for label in repeated[:MOST_LABELS]]
    return SourceLine(
        source=source,
        samples=samples_of(source),
        is_chosen=True,
        rows_in_dataset=dataset.source_counts.get(source.name, 0) if dataset else 0,
        outside=outside if is_closed else [],
        labels=sorted(labels, key=lambda item: -item[1]),
    )


def _rows_of(label: str, counted: Mapping[str, int]) -> int:
    return sum(n for said, n in counted.items() if label_key(said) == label_key(label))


def _found_by_search(
    dataset: DatasetVersion | None, chosen: list[SourceDataset]
) -> list[SourceLine]:
    if dataset is None:
        return []
    names = set(dataset.source_counts) - {source.name for source in chosen}
    visible = SourceDataset.objects.visible_to(dataset.org).filter(name__in=names)
    lines = [
        SourceLine(source, samples_of(source), rows_in_dataset=dataset.source_counts[source.name])
        for source in visible
    ]
    return sorted(lines, key=lambda line: -line.rows_in_dataset)


def _related(model: CustomModel, run: DistillationRun | None, used: set[Any]) -> list[SourceLine]:
    """Return sources near the requirement that the last run did not use, with why."""
    gap = run.intent_facts.gap if run else None
    related = {UUID(near.source_id): near for near in gap.related} if gap else {}
    visible = SourceDataset.objects.visible_to(model.org).ready().exclude(id__in=used)
    sources = visible.in_bulk(list(related))
    return [
        SourceLine(
            sources[source_id],
            [Sample(row.input, row.output) for row in near.samples]
            or samples_of(sources[source_id]),
            why=near.reason,
        )
        for source_id, near in related.items()
        if source_id in sources
    ][:RELATED_SHOWN]


def samples_of(source: SourceDataset, limit: int = SAMPLES) -> list[Sample]:
    rows = CorpusExample.objects.filter(source=source).order_by("content_hash")
    return list(_samples(rows.values_list("messages", flat=True)[:limit]))


def _samples(rows: Iterable[list[dict[str, str]]]) -> Iterator[Sample]:
    for messages in rows:
        shown = input_text(messages), messages[-1]["content"]
        yield Sample(*(clip(text, SAMPLE_CHARS) for text in shown))
