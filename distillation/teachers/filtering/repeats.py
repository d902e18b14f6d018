"""Rows that say again what examples, test rows, other rows or earlier answers said. No Django."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from distillation.pipeline.choose.leakage import LeakageIndex
from distillation.pipeline.choose.near_duplicates import near_duplicate_groups
from distillation.pipeline.text import input_key
from distillation.pipeline.types import Candidate, Example, Vectors
from distillation.teachers.filtering.rows import TaughtRow

Embed = Callable[[Sequence[str]], Vectors]
REPEAT, NEAR, LEAK = "said before", "nearly said before", "repeats a test row"
NEAR_COSINE = 0.90  # of inputs that have one answer; near_duplicates wants 0.95 whatever it is
RARE_COSINE, RARE_ROWS = 0.75, 3  # of inputs whose one answer no more rows than this have


class Repeats:
    """Remembers what was said. `known` are inputs of rows that the model has already."""

    def __init__(self, known: Sequence[str], held_out: Sequence[Example], embed: Embed) -> None:
        self._embed = embed
        self._texts = list(dict.fromkeys(known))
        self._outputs: list[str] = [""] * len(self._texts)
        self._vectors = embed(self._texts) if self._texts else None
        self._leakage = LeakageIndex(
            held_out,
            embed([row.input for row in held_out]) if held_out else np.zeros((0, 1), np.float32),
        )

    def look(self, rows: Sequence[TaughtRow]) -> None:
        """Refuse those that repeat a row before them; remember the others."""
        rows = [row for row in rows if row.is_kept]
        if not rows:
            return
        vectors = self._embed([row.input for row in rows])
        self._refuse_leaks(rows, vectors)
        self._refuse_repeats(rows, vectors)
        self._remember(rows, vectors)

    def _refuse_leaks(self, rows: Sequence[TaughtRow], vectors: Vectors) -> None:
        candidates = [_candidate(row, v) for row, v in zip(rows, vectors, strict=True)]
        for row, sign in zip(rows, self._leakage.signs(candidates), strict=True):
            if sign:
                row.refuse(LEAK, sign)

    def _refuse_repeats(self, rows: Sequence[TaughtRow], vectors: Vectors) -> None:
        before = len(self._texts)
        texts = [*self._texts, *(row.input for row in rows)]
        stacked = vectors if self._vectors is None else np.vstack([self._vectors, vectors])
        outputs = [*self._outputs, *(row.output for row in rows)]
        groups = near_duplicate_groups(texts, stacked)
        keys = {input_key(text) for text in self._texts}
        seen = set(groups[:before])
        cosines = vectors @ stacked.T
        counts = Counter(outputs)
        for index, row in enumerate(rows):
            at = before + index
            if input_key(row.input) in keys:
                row.refuse(REPEAT)
            elif groups[at] in seen or _has_near(cosines[index], at, outputs, counts):
                row.refuse(NEAR)
            keys.add(input_key(row.input))
            seen.add(groups[at])

    def _remember(self, rows: Sequence[TaughtRow], vectors: Vectors) -> None:
        kept = [index for index, row in enumerate(rows) if row.is_kept]
        if not kept:
            return
        self._texts += [rows[index].input for index in kept]
        self._outputs += [rows[index].output for index in kept]
        fresh = vectors[kept]
        self._vectors = fresh if self._vectors is None else np.vstack([self._vectors, fresh])


def _has_near(cosines: Vectors, at: int, outputs: Sequence[str], counts: Counter[str]) -> bool:
    """Whether a row before this one means nearly the same and has the same answer."""
    least = RARE_COSINE if counts[outputs[at]] <= RARE_ROWS else NEAR_COSINE
    return any(outputs[int(o)] == outputs[at] for o in np.flatnonzero(cosines[:at] >= least))


def _candidate(row: TaughtRow, vector: Vectors) -> Candidate:
    turns = ({"role": "user", "content": row.input}, {"role": "assistant", "content": row.output})
    return Candidate("", "", "", "", "", "", turns, vector)
