"""Whether answers are a set of labels, as an encoder tells them apart. Needs nothing."""

from collections.abc import Sequence

MOST_LABEL_CHARS = 120
LEAST_ROWS_PER_LABEL = 2  # on average: answers that are nearly all different are no labels


def objection_to_labels(answers: Sequence[str]) -> str:
    """Say why the answers of training rows are no set of labels; empty where they are."""
    labels = set(answers)
    if len(labels) * LEAST_ROWS_PER_LABEL > len(answers):
        return f"{len(answers):,} rows have {len(labels):,} different answers: too many for labels."
    if max(map(len, labels), default=0) > MOST_LABEL_CHARS:
        return "Some answers are longer than labels are."
    return "" if len(labels) > 1 else "All rows have one answer: there is nothing to tell apart."
