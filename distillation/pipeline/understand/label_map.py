"""How the labels of the sources become the user's: proposed by name and meaning, or by hand.

    propose_label_map({"reviews": Counter(pos=40, neg=35)}, ("positive", "negative"), (), embed)

Thresholds are strict: a wrong mapping teaches a wrong answer many times, an unmapped label only
leaves rows out, and the table shows it to the user.
Try it: pytest distillation/tests/pipeline/understand/test_label_map.py
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from rapidfuzz import fuzz

from distillation.pipeline.types import Candidate, LabelMapping, LabelRule, Vectors
from distillation.pipeline.understand.labels import is_label, label_key

SAME, BY_NAME, BY_MEANING, BY_HAND = "same", "name", "meaning", "hand"

# Measured on label sets of seven public tasks with all-MiniLM-L6-v2: right pairs lie at 0.59 and
# above, with 0.2 to the second; "entertainment" to "sport" at 0.58 with 0.01, "card arrival" to
# "card lost" at 0.63 with 0.11.
MEANING_COSINE = 0.55
MEANING_MARGIN = 0.15
NAME_RATIO = 88  # of 100: one or two letters differ
MIN_PREFIX = 3
MAX_LABELS_PER_SOURCE = 500  # a source with more has free text that happens to be short

Embed = Callable[[Sequence[str]], Vectors]


def labels_of_sources(candidates: Iterable[Candidate]) -> dict[str, Counter[str]]:
    """Per source how many rows carry each label; sources of free text have none."""
    result: dict[str, Counter[str]] = defaultdict(Counter)
    for row in candidates:
        if is_label(row.answer):
            result[row.source][row.answer] += 1
    return {s: counts for s, counts in result.items() if len(counts) <= MAX_LABELS_PER_SOURCE}


def propose_label_map(
    counts: Mapping[str, Counter[str]],
    wanted: Sequence[str],
    rules: Sequence[LabelRule],
    embed: Embed,
    descriptions: Mapping[str, str] | None = None,
) -> tuple[LabelMapping, ...]:
    """One line for each label of each source, those with most rows first. Rules always win."""
    by_hand = {(rule.source, label_key(rule.label)): rule.mapped_to for rule in rules}
    names = _by_name(wanted)
    unknown = sorted(
        {label for result in counts.values() for label in result if names(label) is None}
    )
    meanings = _by_meaning(unknown, wanted, embed, descriptions or {})
    lines = []
    for source, result in sorted(counts.items()):
        for label, rows in sorted(result.items(), key=lambda item: (-item[1], item[0])):
            hand = by_hand.get((source, label_key(label)))
            if hand is not None:
                lines.append(LabelMapping(source, label, rows, hand, BY_HAND))
                continue
            mapped_to, how, similarity = names(label) or meanings.get(label) or ("", "", 0.0)
            lines.append(LabelMapping(source, label, rows, mapped_to, how, similarity))
    return tuple(lines)


Match = tuple[str, str, float]


def _by_name(wanted: Sequence[str]) -> Callable[[str], Match | None]:
    """Match by the same key; else the one label that this abbreviates, misspells or holds."""
    keys = {label_key(label): label for label in wanted}

    def match(label: str) -> Match | None:
        key = label_key(label)
        if key in keys:
            return keys[key], SAME, 1.0
        alike = [name for other, name in keys.items() if _alike(key, other)]
        return (alike[0], BY_NAME, 1.0) if len(alike) == 1 else None

    return match


def _alike(key: str, other: str) -> bool:
    prefix = len(key) >= MIN_PREFIX and other.startswith(key)
    spelled = fuzz.ratio(key, other) >= NAME_RATIO
    held = other in key.split("_")
    return prefix or spelled or held


def _by_meaning(
    labels: Sequence[str], wanted: Sequence[str], embed: Embed, descriptions: Mapping[str, str]
) -> dict[str, Match]:
    """Match the nearest of the user's labels, by its name or by what it is described as, where it
    is near and no other is nearly as near.
    """
    if not labels or len(wanted) < 2:
        return {}
    names = [readable(x) for x in wanted]
    described = [descriptions.get(x) or name for x, name in zip(wanted, names, strict=True)]
    own = embed([readable(x) for x in labels])
    cosines = np.maximum(own @ embed(names).T, own @ embed(described).T)
    matches = {}
    for label, row in zip(labels, cosines, strict=True):
        second, best = np.sort(row)[-2:]
        if best >= MEANING_COSINE and best - second >= MEANING_MARGIN:
            matches[label] = (wanted[int(row.argmax())], BY_MEANING, round(float(best), 3))
    return matches


def readable(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").split())


class MappedLabels:
    """The answer that a candidate is trained with; None: its label has no place in the user's."""

    def __init__(self, mappings: Sequence[LabelMapping]) -> None:
        self._of = {(line.source, label_key(line.label)): line.mapped_to for line in mappings}

    def answer(self, candidate: Candidate) -> str | None:
        return self._of.get((candidate.source, label_key(candidate.answer))) or None
