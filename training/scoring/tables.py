"""Where a model errs: which label it takes for which, and which field of a JSON answer."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from training.scoring.pairs import INVALID, canonical, f1, fields, normalise, overlap, parse_json
from training.scoring.shapes import ConfusionTable, FieldLine

MOST_LABELS = 30
MOST_KINDS = 100  # of answers, for a task that names no labels to count as one of labels
LONGEST_LABEL = 60
OTHER = "other"
MOST_FIELDS = 50
MOST_EXAMPLES = 3
SHARE_OF_JSON = 0.9


def confusion(
    predictions: Sequence[str], references: Sequence[str], labels: Sequence[str] | None
) -> ConfusionTable | None:
    """Rows are expected, columns answered: counts[i][j] rows of labels[i] were answered labels[j].

    The most frequent labels have a line of their own; "other" gathers the rest, and as a column
    also the answers that are no label. None when the task is not one of labels.
    """
    expected, predicted = [list(map(normalise, texts)) for texts in (references, predictions)]
    if not labels and not _look_like_labels(expected):
        return None
    kept = [label for label, _ in Counter(expected).most_common(MOST_LABELS)]
    place = {label: index for index, label in enumerate(kept)}
    counts = [[0] * (len(kept) + 1) for _ in range(len(kept) + 1)]
    for wanted, answered in zip(expected, predicted, strict=True):
        counts[place.get(wanted, len(kept))][place.get(answered, len(kept))] += 1
    return {"labels": [*kept, OTHER], "counts": counts}


def _look_like_labels(references: Sequence[str]) -> bool:
    kinds = set(references)
    return (
        len(kinds) <= min(MOST_KINDS, len(references) // 2)
        and max(map(len, kinds)) <= LONGEST_LABEL
        and not any(kind[:1] in ("{", "[") for kind in kinds)
    )


def is_json_task(references: Sequence[str]) -> bool:
    objects = sum(isinstance(parse_json(reference), dict) for reference in references)
    return objects >= SHARE_OF_JSON * len(references) > 0


def commonest_object(references: Sequence[str]) -> str:
    """Return the JSON that the most references equal, whatever the order of their keys."""
    values = [parse_json(reference) for reference in references]
    counted = Counter(canonical(value) for value in values if value is not INVALID)
    return counted.most_common(1)[0][0] if counted else "{}"


def field_table(
    tuned: Sequence[str], base: Sequence[str], references: Sequence[str]
) -> list[FieldLine] | None:
    """Per field of the JSON answers, the worst first: how often it is expected, precision, recall
    and F1 of the tuned model, F1 of the base, and rows where it went wrong. None for other tasks.
    """
    if not is_json_task(references):
        return None
    expected, predicted, before = [
        list(map(_by_field, texts)) for texts in (references, tuned, base)
    ]
    support: Counter[str] = Counter()
    for row in expected:
        support.update({name: values.total() for name, values in row.items()})
    names = [name for name, _ in support.most_common(MOST_FIELDS)]
    lines = [_field_line(name, expected, predicted, before) for name in names]
    return sorted(lines, key=lambda line: (line["f1"], -line["support"], line["field"]))


def _by_field(text: str) -> dict[str, Counter[Any]]:
    values: dict[str, Counter[Any]] = {}
    for (path, value), count in (fields(text) or Counter()).items():
        name = ".".join(step for step in path if step != "[]") or "(value)"
        values.setdefault(name, Counter())[value] += count
    return values


def _field_line(
    name: str,
    expected: Sequence[dict[str, Counter[Any]]],
    predicted: Sequence[dict[str, Counter[Any]]],
    before: Sequence[dict[str, Counter[Any]]],
) -> FieldLine:
    hits, answered, wanted = _overlaps(name, predicted, expected)
    none: Counter[Any] = Counter()
    pairs = [
        (index, row.get(name, none), answer.get(name, none))
        for index, (row, answer) in enumerate(zip(expected, predicted, strict=True))
    ]
    wrong = [pair for pair in pairs if pair[1] != pair[2]][:MOST_EXAMPLES]
    return {
        "field": name,
        "support": wanted,
        "precision": hits / answered if answered else 0.0,
        "recall": hits / wanted if wanted else 0.0,
        "f1": f1(hits, answered, wanted),
        "base_f1": f1(*_overlaps(name, before, expected)),
        "examples": [
            {"index": index, "expected": list(row.elements()), "found": list(answer.elements())}
            for index, row, answer in wrong
        ],
    }


def _overlaps(
    name: str,
    predicted: Sequence[dict[str, Counter[Any]]],
    expected: Sequence[dict[str, Counter[Any]]],
) -> tuple[int, int, int]:
    none: Counter[Any] = Counter()
    pairs = zip(predicted, expected, strict=True)
    counts = [overlap(ours.get(name, none), theirs.get(name, none)) for ours, theirs in pairs]
    hits, answered, wanted = zip(*counts, strict=True)
    return sum(hits), sum(answered), sum(wanted)
