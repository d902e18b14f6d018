"""What each source is for, and a new model to start from: the cards of gallery.toml for the starter
corpus, else what its rows say.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models import Organization
from distillation.models import CorpusExample, SourceDataset
from distillation.pipeline.text import input_text
from distillation.pipeline.understand.labels import label_key, learn_labels
from distillation.pipeline.understand.languages import NAMES

CARDS = Path(__file__).with_name("gallery.toml")
READ_ROWS = 80  # of each source
EXAMPLES = 4
LABELS_SHOWN, TASKS_SHOWN, LANGUAGES_SHOWN = 12, 3, 3
EXAMPLE_CHARS = 2_000
MOSTLY = 0.8
_FIRST_ROWS = f"""
    SELECT wanted, task, language, messages FROM unnest(%s::uuid[]) AS wanted, LATERAL (
        SELECT task, language, messages FROM {CorpusExample._meta.db_table}
        WHERE source_id = wanted ORDER BY content_hash LIMIT %s
    ) AS first
"""


@dataclass(frozen=True)
class Card:
    """A model to start from, as the form of a new one takes it."""

    title: str
    requirement: str
    objective: str = ""
    policy: str = ""
    criteria: Sequence[str] = ()


@dataclass(frozen=True)
class Pair:
    input: str
    output: str


@dataclass(frozen=True)
class Purpose:
    """What a source is for, as far as its first rows say."""

    source: SourceDataset
    card: Card
    is_starter: bool = False
    labels: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    @property
    def shown_labels(self) -> str:
        """Return the labels or keys in one line."""
        names = self.labels or self.keys
        more = f" and {len(names) - LABELS_SHOWN} more" if len(names) > LABELS_SHOWN else ""
        return ", ".join(names[:LABELS_SHOWN]) + more

    @property
    def sample(self) -> Pair | None:
        return self.pairs[0] if self.pairs else None

    def matches(self, text: str) -> bool:
        words = [self.source.name, self.card.title, self.card.requirement, *self.tasks]
        said = " ".join([*words, *self.labels, *self.keys, *self.languages]).casefold()
        return all(word in said for word in text.casefold().split())

    def draft(self) -> dict[str, Any]:
        """Return what the form of a new model begins with."""
        return {
            "name": self.card.title,
            "requirement": self.card.requirement,
            "objective": self.card.objective,
            "policy": self.card.policy,
            "success_criteria": "\n".join(self.card.criteria),
            "examples": "\n".join(
                json.dumps(vars(pair), ensure_ascii=False) for pair in self.pairs[:EXAMPLES]
            ),
        }


@cache
def cards() -> dict[str, Card]:
    tables = tomllib.loads(CARDS.read_text(encoding="utf-8"))
    return {name: Card(**table) for name, table in tables.items()}


def gallery(org: Organization) -> list[Purpose]:
    """Return the cards of the sources that are here, in the order of the file."""
    loaded = SourceDataset.objects.visible_to(org).ready().filter(org=None, name__in=list(cards()))
    return sorted(purposes(loaded), key=lambda purpose: list(cards()).index(purpose.source.name))


def purposes(sources: Iterable[SourceDataset]) -> list[Purpose]:
    """Read the first rows of each source in one query, and say what each is for."""
    listed = list(sources)
    rows: dict[UUID, list[tuple[str, str, list[dict[str, str]]]]] = {s.id: [] for s in listed}
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_ROWS, [list(rows), READ_ROWS])
        for source_id, task, language, messages in cursor:
            parsed = json.loads(messages) if isinstance(messages, str) else messages
            rows[source_id].append((task, language, parsed))
    return [_purpose(source, rows[source.id]) for source in listed]


def purpose_of(source: SourceDataset) -> Purpose:
    return purposes([source])[0]


def _purpose(source: SourceDataset, rows: list[tuple[str, str, list[dict[str, str]]]]) -> Purpose:
    pairs = [Pair(input_text(turns), turns[-1]["content"]) for _, _, turns in rows]
    answers = [pair.output for pair in pairs]
    labels, keys = _labels(answers), _keys(answers)
    known = cards().get(source.name) if source.org_id is None else None
    return Purpose(
        source=source,
        card=known or _card_of_rows(source, labels, keys),
        is_starter=known is not None,
        labels=labels,
        keys=keys,
        tasks=[] if labels else _commonest((task for task, _, _ in rows), TASKS_SHOWN),
        languages=[
            NAMES.get(code, code)
            for code in _commonest((lang for _, lang, _ in rows), LANGUAGES_SHOWN)
        ],
        pairs=_different(pairs),
    )


def _card_of_rows(source: SourceDataset, labels: list[str], keys: list[str]) -> Card:
    title = source.name.replace("_", " ").replace("-", " ").capitalize()
    if labels and len(labels) <= LABELS_SHOWN:
        requirement = f"Label each input with one of: {', '.join(labels)}."
        return Card(title, requirement, policy="Answer with the label only.")
    if labels:
        requirement = f"Label each input as the rows of {source.name} do, with one of their labels."
        return Card(title, requirement, policy="Answer with the label only.")
    if keys:
        requirement = f"Extract from each input one JSON object with the keys {', '.join(keys)}."
        return Card(title, requirement, policy="Answer with JSON only.")
    return Card(title, f"Answer each input in the way of the rows of {source.name}.")


def _labels(answers: Sequence[str]) -> list[str]:
    learned = learn_labels(answers)
    known = {label_key(label) for label in learned}
    covered = sum(label_key(answer) in known for answer in answers)
    return list(learned) if learned[1:] and covered >= MOSTLY * len(answers) else []


def _keys(answers: Sequence[str]) -> list[str]:
    """Return the keys of answers that are JSON objects, most frequent first."""
    counted: Counter[str] = Counter()
    objects = 0
    for answer in answers:
        try:
            parsed = json.loads(answer)
        except ValueError:
            continue
        if isinstance(parsed, dict):
            objects += 1
            counted.update(parsed.keys())
    is_json = answers and objects >= MOSTLY * len(answers)
    return [key for key, _ in counted.most_common(LABELS_SHOWN)] if is_json else []


def _commonest(values: Iterable[str], limit: int) -> list[str]:
    return [value for value, _ in Counter(filter(None, values)).most_common(limit)]


def _different(pairs: Sequence[Pair]) -> list[Pair]:
    """Return short rows, of as many different answers as there are."""
    short = [pair for pair in pairs if len(pair.input) + len(pair.output) <= EXAMPLE_CHARS]
    by_answer = {label_key(pair.output): pair for pair in reversed(short)}
    return list(by_answer.values())[::-1][: 2 * EXAMPLES]
