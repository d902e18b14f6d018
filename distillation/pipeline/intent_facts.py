"""What a run keeps of what was understood, for all that shows, checks or measures its dataset.
Try it: pytest distillation/tests/pipeline/test_intent_facts.py
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from distillation.pipeline.choose.source_fit import RoutedGroup
from distillation.pipeline.gaps import DataGap, RelatedSource
from distillation.pipeline.types import Example, IntentSpec, Query
from distillation.pipeline.understand.explain import Line, explain

SHOWN_ROUTES = 20
OF_A_RUN = ("sources", "gap", "doubtful_test_rows")  # missing before there is one


@dataclass(frozen=True)
class SourceRoute:
    """One source that was considered: the scores of the best of its tasks, and how many serve."""

    source: str = ""
    task: str = ""
    tasks: int = 1
    tasks_chosen: int = 0
    rows: int = 0
    score: float = 0.0
    description_match: float = 0.0
    topic_match: float = 0.0
    form_match: float = 0.0
    chosen: bool = False
    source_id: str = ""
    verdict: str = ""  # of a SourceFit; empty: too far to be looked at
    reason: str = ""
    gain: float | None = None
    samples: tuple[Example, ...] = ()  # of its rows, those nearest to the user's examples

    @classmethod
    def of(cls, groups: list[RoutedGroup]) -> "SourceRoute":
        best = groups[0]
        fit = best.fit
        chosen = any(routed.chosen for routed in groups)
        return cls(
            source=best.group.source,
            task=best.group.task if len(groups) == 1 else "",
            tasks=len(groups),
            tasks_chosen=sum(routed.chosen for routed in groups),
            rows=sum(routed.group.rows for routed in groups),
            score=round(best.score, 3),
            description_match=round(best.description_match, 3),
            topic_match=round(best.topic_match, 3),
            form_match=round(best.form_match, 3),
            chosen=chosen,
            source_id=best.group.source_id,
            verdict=fit.verdict if fit else "",
            reason=fit.reason if fit else "",
            gain=fit.gain if fit else None,
            samples=fit.samples if fit and not chosen else (),
        )

    @property
    def fit_in_words(self) -> str:
        if self.gain is not None:
            return f"{max(0.0, self.gain):.0%}"
        return {"untested": "not tested", "by hand": "chosen by a person"}.get(self.verdict, "")

    @property
    def is_related(self) -> bool:
        """Whether it was looked at and not used."""
        return bool(self.verdict) and not self.chosen


def routes_by_source(routes: Iterable[RoutedGroup]) -> tuple[SourceRoute, ...]:
    """Best first, as the groups are."""
    of_source: dict[str, list[RoutedGroup]] = defaultdict(list)
    for routed in routes:
        of_source[routed.group.source_id].append(routed)
    return tuple(SourceRoute.of(groups) for groups in list(of_source.values())[:SHOWN_ROUTES])


@dataclass(frozen=True)
class IntentFacts:
    """Empty where nothing was understood, as for a file that is trained on as it is."""

    task_kind: str = ""
    labels: tuple[str, ...] = ()
    labels_closed: bool = False
    label_count: int = 0
    json_keys: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    language: str = ""
    answer_min_chars: int = 0
    answer_max_chars: int = 0
    system_prompt: str = ""
    label_descriptions: dict[str, str] = field(default_factory=dict)
    examples_outside: tuple[str, ...] = ()
    queries: tuple[Query, ...] = ()
    explanation: tuple[Line, ...] = ()
    sources: tuple[SourceRoute, ...] | None = None  # of a run: None before one
    gap: DataGap | None = None  # likewise
    # Likewise: places of the user's test rows whose label is likely wrong.
    doubtful_test_rows: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls,
        intent: IntentSpec,
        sources: tuple[SourceRoute, ...] | None = None,
        gap: DataGap | None = None,
        doubtful_test_rows: tuple[int, ...] | None = None,
    ) -> "IntentFacts":
        same = {own.name for own in fields(cls)} & {own.name for own in fields(intent)}
        facts = {name: getattr(intent, name) for name in same}
        return cls(
            **facts,
            explanation=tuple(explain(intent)),
            sources=sources,
            gap=gap,
            doubtful_test_rows=doubtful_test_rows,
        )

    @property
    def related(self) -> tuple[SourceRoute, ...]:
        """Return the sources that were looked at and not used."""
        return tuple(source for source in self.sources or () if source.is_related)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "IntentFacts":
        """Of any run, also of one that an earlier release made with fewer facts."""
        facts = _known(cls, stored)
        for name, read in _READ.items():
            facts[name] = tuple(map(read, stored.get(name) or ()))
        if (doubtful := stored.get("doubtful_test_rows")) is not None:
            facts["doubtful_test_rows"] = tuple(doubtful)
        facts["gap"] = _gap(stored["gap"]) if stored.get("gap") else None
        return cls(**facts | ({"sources": None} if "sources" not in stored else {}))

    def to_json(self) -> dict[str, Any]:
        facts = asdict(self) | {"explanation": [line._asdict() for line in self.explanation]}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in facts.items()
            if value is not None or name not in OF_A_RUN
        }


def _known(kind: type[Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    return {own.name: stored[own.name] for own in fields(kind) if own.name in stored}


def _with_samples(kind: type[Any], stored: Mapping[str, Any]) -> Any:
    samples = tuple(Example(**sample) for sample in stored.get("samples") or ())
    return kind(**_known(kind, stored) | {"samples": samples})


def _gap(stored: Mapping[str, Any]) -> DataGap:
    related = tuple(_with_samples(RelatedSource, source) for source in stored["related"])
    facts = _known(DataGap, stored)
    return DataGap(**facts | {"missing": tuple(stored["missing"]), "related": related})


def _query(stored: str | Mapping[str, str]) -> Query:
    """Read a text alone, as earlier releases wrote it, or with its origin."""
    return Query(stored, "") if isinstance(stored, str) else Query(**stored)


# How the items of each list are read.
_READ: dict[str, Callable[[Any], Any]] = {
    "labels": str,
    "json_keys": str,
    "examples_outside": str,
    "queries": _query,
    "explanation": lambda line: Line(**line),
    "sources": lambda route: _with_samples(SourceRoute, route),
}
