"""A catalog in memory: the same questions as the database answers.

Try it: pytest distillation/tests/pipeline/test_generator.py
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from distillation.pipeline.licenses import ANY, LicensePolicy
from distillation.pipeline.text import input_text, words
from distillation.pipeline.types import Candidate, SourceGroup, Vectors

ANY_LICENSE = LicensePolicy(ANY, allow_unknown=True)


class MemoryCatalog:
    def __init__(self, rows: Sequence[Candidate], policy: LicensePolicy = ANY_LICENSE) -> None:
        allowed = [row for row in rows if policy.allows(row.license)]
        self.refused_by_license = len(rows) - len(allowed)
        self._refused = [row for row in rows if not policy.allows(row.license)]
        self._rows = sorted(allowed, key=lambda row: row.content_hash)
        self._vectors = np.stack([row.embedding for row in self._rows])

    def license_examples(self) -> list[str]:
        return [f"{row.source}: {row.license}" for row in self._refused[:10]]

    def source_groups(self) -> list[SourceGroup]:
        counts = Counter((row.source_id, row.source, row.task) for row in self._rows)
        return [SourceGroup(*key, rows=n) for key, n in sorted(counts.items())]

    def background(self, per_source: int) -> list[Candidate]:
        groups: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
        for row in self._rows:
            groups[row.source_id][row.task].append(row)
        return [
            row
            for tasks in groups.values()
            for rows in tasks.values()
            for row in rows[: max(4, -(-per_source // len(tasks)))]
        ]

    def nearest(
        self, vectors: Vectors, *, limit: int, source_ids: Sequence[str] | None = None
    ) -> list[list[Candidate]]:
        seen = [i for i, r in enumerate(self._rows) if not source_ids or r.source_id in source_ids]
        cosines = vectors @ self._vectors[seen].T
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :limit]
        return [[self._rows[seen[i]] for i in row] for row in best]

    def lexical(
        self, texts: Sequence[str], *, limit: int, source_ids: Sequence[str] | None = None
    ) -> list[list[Candidate]]:
        """Words weighted by how few rows hold them, as the database weights them."""
        seen = [r for r in self._rows if not source_ids or r.source_id in source_ids]
        spoken = [set(words(input_text(row.messages))) for row in seen]
        held = Counter(word for result in spoken for word in result)
        return [
            _most_shared(seen, spoken, {w: 1 / held[w] for w in words(text) if w in held})[:limit]
            for text in texts
        ]

    def rows(self, groups: Sequence[tuple[str, str]], *, limit: int) -> list[Candidate]:
        wanted = set(groups)
        return [row for row in self._rows if row.group in wanted][:limit]


def _most_shared(
    rows: Sequence[Candidate], spoken: Sequence[set[str]], weights: Mapping[str, float]
) -> list[Candidate]:
    scores = [sum(weights[word] for word in result if word in weights) for result in spoken]
    best = sorted(range(len(rows)), key=lambda i: (-scores[i], rows[i].content_hash))
    return [rows[i] for i in best if scores[i] > 0]
