"""What is doubtful in a set of rows: said twice, contradicted, labelled oddly.

Nothing is changed here; a person looks at it and decides.
Try it: pytest distillation/tests/pipeline/test_quality.py
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillation.pipeline.choose.near_duplicates import near_duplicate_groups, normal_form
from distillation.pipeline.text import normalise
from distillation.pipeline.types import Vectors
from distillation.pipeline.understand.labels import is_label, label_key

NEIGHBOURS = 3
BLOCK = 512
# A source classifies when this share of its answers look like labels, each given this often.
LABEL_SHARE = 0.8
ROWS_PER_LABEL = 2
STYLE_SHARE = 0.8
MIN_CUT = 2  # letters that a truncated label lacks: "cards" is not "card" with its end cut off
STYLES = {
    "snake_case": re.compile(r"[a-z0-9]+(_[a-z0-9]+)*"),
    "kebab-case": re.compile(r"[a-z0-9]+(-[a-z0-9]+)*"),
    "words": re.compile(r"[a-z0-9]+( [a-z0-9]+)*"),
}
SEPARATORS = {"snake_case": "_", "kebab-case": "-", "words": " "}


@dataclass(frozen=True, eq=False)
class QualityRow:
    input: str
    answer: str
    embedding: Vectors  # of the input, length one


@dataclass(frozen=True)
class DuplicateGroup:
    """Rows that ask one thing, by their indices. The first represents the others."""

    rows: tuple[int, ...]


@dataclass(frozen=True)
class Conflict:
    """One input with several answers: the indices of the rows that give each."""

    answers: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class LabelProblem:
    row: int
    reason: str  # "spelling_variant" | "truncated" | "sentence" | "given_once" | "unknown"
    meant: str  # the label it is likely to be; empty when nothing is near


@dataclass(frozen=True)
class Disagreement:
    """A row whose label is not that of the rows around it."""

    row: int
    score: float  # cosine to the nearest rows of other labels, less that to its own
    suggested: str  # the label of the nearest of the others
    neighbour: int


@dataclass(frozen=True)
class QualityReport:
    rows: int
    labels: tuple[str, ...]  # empty where the answers are no labels
    duplicates: tuple[DuplicateGroup, ...]
    conflicts: tuple[Conflict, ...]
    label_problems: tuple[LabelProblem, ...]
    disagreements: tuple[Disagreement, ...]


def quality_report(rows: Sequence[QualityRow], labels: Sequence[str] = ()) -> QualityReport:
    """`labels` is the closed set where it is known; else it is learned from the answers."""
    answers = [row.answer for row in rows]
    given = tuple(labels) or (learned_labels(answers) if is_labelled(answers) else ())
    problems = label_problems(answers, given, known=bool(labels)) if given else []
    return QualityReport(
        rows=len(rows),
        labels=given,
        duplicates=tuple(duplicate_groups(rows)),
        conflicts=tuple(conflicts(rows)),
        label_problems=tuple(problems),
        disagreements=tuple(disagreements(rows, problems)) if given else (),
    )


def duplicate_groups(rows: Sequence[QualityRow]) -> list[DuplicateGroup]:
    """Return groups of two and more, the largest first."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(near_duplicate_groups([row.input for row in rows])):
        members[group].append(index)
    result = [DuplicateGroup(tuple(group)) for group in members.values() if len(group) > 1]
    return sorted(result, key=lambda group: -len(group.rows))


def conflicts(rows: Sequence[QualityRow]) -> list[Conflict]:
    """Return inputs of one normal form whose answers differ, those with the most answers first."""
    of_input: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, row in enumerate(rows):
        of_input[normal_form(row.input)][normalise(row.answer)].append(index)
    result = [
        Conflict(tuple((rows[at[0]].answer, tuple(at)) for at in answers.values()))
        for answers in of_input.values()
        if len(answers) > 1
    ]
    return sorted(result, key=lambda conflict: -len(conflict.answers))


def is_labelled(answers: Sequence[str]) -> bool:
    result = [label_key(answer) for answer in answers if is_label(answer)]
    often = len(result) >= ROWS_PER_LABEL * len(set(result))
    return bool(result) and often and len(result) >= LABEL_SHARE * len(answers)


def learned_labels(answers: Iterable[str]) -> tuple[str, ...]:
    """One spelling for each label, in the style that nearly all are written in if there is one."""
    counts = Counter(answer.strip() for answer in answers if is_label(answer))
    style = common_style(counts)
    spelling: dict[str, str] = {}
    for label, _ in counts.most_common():
        spelling.setdefault(label_key(label), restyled(label, style))
    whole = [key for key in spelling if not cut_from(key, spelling, counts)]
    return tuple(sorted(spelling[key] for key in whole))


def common_style(counts: Counter[str]) -> str:
    for style, pattern in STYLES.items():
        rows = sum(n for label, n in counts.items() if pattern.fullmatch(label))
        if rows >= STYLE_SHARE * counts.total():
            return style
    return ""


def restyled(label: str, style: str) -> str:
    if not style or STYLES[style].fullmatch(label):
        return label
    return label_key(label).replace("_", SEPARATORS[style])


def cut_from(key: str, spelling: dict[str, str], counts: Counter[str]) -> str:
    """Return the more frequent label that this one is the beginning of, cut within a word."""
    own = counts[spelling[key]]
    longer = (other for other in spelling if is_cut(key, other) and counts[spelling[other]] > own)
    return min(longer, key=len, default="")


def is_cut(key: str, whole: str) -> bool:
    return whole.startswith(key) and len(whole) - len(key) >= MIN_CUT and whole[len(key)] != "_"


def label_problems(
    answers: Sequence[str], labels: Sequence[str], *, known: bool
) -> list[LabelProblem]:
    """Answers outside the closed set, and why; labels given once are doubted only if learned."""
    exact = set(labels)
    spelling = {label_key(label): label for label in labels}
    counts = Counter(label_key(answer) for answer in answers)
    result = []
    for index, answer in enumerate(answers):
        if answer.strip() not in exact:
            result.append(LabelProblem(index, *what_is_wrong(answer, spelling)))
        elif counts[label_key(answer)] == 1 and not known:
            result.append(LabelProblem(index, "given_once", ""))
    return result


def what_is_wrong(answer: str, spelling: dict[str, str]) -> tuple[str, str]:
    """Return the reason, and the label that was likely meant."""
    key = label_key(answer)
    if key in spelling:
        return "spelling_variant", spelling[key]
    longer = [whole for whole in spelling if len(key) > MIN_CUT and is_cut(key, whole)]
    if longer:
        return "truncated", spelling[min(longer, key=len)]
    named = [label for label in spelling if re.search(rf"(?:\b|_){re.escape(label)}(?:\b|_)", key)]
    if named:
        return "sentence", spelling[max(named, key=len)]
    return ("unknown" if is_label(answer) else "sentence"), ""


def disagreements(
    rows: Sequence[QualityRow], problems: Sequence[LabelProblem] = ()
) -> list[Disagreement]:
    """All rows that are nearer to rows of another label than to their own, most so first.

    Compared are the mean cosines to the three nearest rows of its own label and of any other. A
    label that no other row has counts as near as is usual: nothing is known against it.
    """
    meant = {problem.row: problem.meant for problem in problems if problem.meant}
    labels = [label_key(meant.get(index, row.answer)) for index, row in enumerate(rows)]
    numbers = np.unique(labels, return_inverse=True)[1]  # quicker to compare than words
    own, other, nearest = neighbourhoods(np.stack([row.embedding for row in rows]), numbers)
    usual = np.nanmedian(own) if np.isfinite(own).any() else 1.0
    scores = other - np.where(np.isnan(own), usual, own)
    ranked = [int(row) for row in np.argsort(-scores, kind="stable") if scores[row] > 0]
    return [
        Disagreement(row, float(scores[row]), meant.get(at, rows[at].answer), at)
        for row in ranked
        if (at := int(nearest[row])) >= 0
    ]


def neighbourhoods(
    vectors: Vectors, labels: npt.NDArray[np.intp]
) -> tuple[Vectors, Vectors, npt.NDArray[np.int64]]:
    """Per row: mean cosine to the nearest of its label and of others (nan: none), nearest other."""
    own = np.full(len(vectors), np.nan, dtype=np.float32)
    other, nearest = own.copy(), np.full(len(vectors), -1, dtype=np.int64)
    for start in range(0, len(vectors), BLOCK):
        block = slice(start, start + BLOCK)
        cosines = vectors[block] @ vectors.T
        same = labels[block, None] == labels[None, :]
        itself = np.arange(start, start + len(cosines))
        foreign = np.where(same, -np.inf, cosines)
        nearest[block] = np.where(same.all(axis=1), -1, foreign.argmax(axis=1))
        other[block] = mean_of_largest(foreign)
        alike = np.where(same, cosines, -np.inf)
        alike[np.arange(len(cosines)), itself] = -np.inf
        own[block] = mean_of_largest(alike)
    return own, other, nearest


def mean_of_largest(values: Vectors) -> Vectors:
    """Of the three largest in each row, or of those that are there; -inf stands for none."""
    k = min(NEIGHBOURS, values.shape[1])
    largest = np.partition(values, -k, axis=1)[:, -k:]
    there = np.isfinite(largest)
    total = np.where(there, largest, 0).sum(axis=1)
    mean: Vectors = np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), np.nan)
    return mean
