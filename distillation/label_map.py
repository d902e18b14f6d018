"""How the labels of the sources become the user's, as a table that people read and edit.

Facts come from the run (`DistillationRun.label_map`), decisions from the model
(`CustomModel.intent_edits["label_map"]`): those made after the run take effect with the next.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

HOW = {"same": "the same", "name": "by name", "meaning": "by meaning", "hand": "by hand"}
Rule = dict[str, str]  # {"source", "label", "mapped_to"}


@dataclass(frozen=True)
class LabelLine:
    source: str
    label: str
    rows: int
    mapped_to: str  # empty: such rows are left out
    how: str
    similarity: float
    is_new: bool = False  # decided after the run

    @property
    def key(self) -> tuple[str, str]:
        return (self.source, self.label)

    @property
    def how_in_words(self) -> str:
        return HOW.get(self.how, "")


@dataclass(frozen=True)
class LabelTable:
    lines: tuple[LabelLine, ...]
    labels: tuple[str, ...]  # the user's

    @property
    def rows(self) -> list[tuple[LabelLine, None]]:
        """As those of LabelMapForm, with no field to edit them."""
        return [(line, None) for line in self.lines]

    @property
    def left_out(self) -> list[LabelLine]:
        return [line for line in self.lines if not line.mapped_to]

    @property
    def missing(self) -> list[str]:
        """Labels of the user for which no source has rows."""
        fed = {line.mapped_to for line in self.lines if line.rows}
        return [label for label in self.labels if label not in fed]

    @property
    def sources(self) -> set[str]:
        return {line.source for line in self.lines}


def label_table(
    facts: Iterable[Mapping[str, Any]], labels: Sequence[str], rules: Iterable[Rule] = ()
) -> LabelTable:
    """Return the lines of one run, most rows first, with the decisions made since."""
    decided = {(rule["source"], rule["label"]): rule["mapped_to"] for rule in rules}
    lines = [_with(decided, LabelLine(**fact)) for fact in facts]
    lines.sort(key=lambda line: (-line.rows, line.source, line.label))
    return LabelTable(tuple(lines), tuple(labels))


def _with(decided: Mapping[tuple[str, str], str], line: LabelLine) -> LabelLine:
    mapped_to = decided.get(line.key, line.mapped_to)
    if mapped_to == line.mapped_to:
        return line
    return replace(line, mapped_to=mapped_to, how="hand", similarity=0.0, is_new=True)


def rules_with(
    rules: Iterable[Rule], table: LabelTable, chosen: Mapping[tuple[str, str], str]
) -> list[Rule]:
    """Return the rules after somebody went through some lines; what they left stays."""
    decided = {(rule["source"], rule["label"]): rule["mapped_to"] for rule in rules}
    shown = {line.key: line.mapped_to for line in table.lines}
    decided |= {key: to for key, to in chosen.items() if to != shown.get(key, to)}
    return [
        {"source": source, "label": label, "mapped_to": to}
        for (source, label), to in sorted(decided.items())
    ]
