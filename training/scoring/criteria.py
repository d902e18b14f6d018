"""What the tuned model is measured against: criteria written as checks, or read out of plain
sentences.

A sentence that cannot be turned into a check is handed back as unread: a criterion that nobody
measured must not pass.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.scoring.criterion import (
    BEATS_BASE,
    NOT_WORSE_THAN_RIVAL,
    CheckJson,
    Criterion,
)
from training.scoring.sentences import compile_sentence

REMOVES_RIVALS = re.compile(rf"\s*without {NOT_WORSE_THAN_RIVAL}\W*", re.IGNORECASE)


@dataclass(frozen=True)
class Criteria:
    checks: list[Criterion]
    unread: list[str]


def read_criteria(
    written: Sequence[str | Mapping[str, Any]],
    labels: Sequence[str] | None = None,
    *,
    with_rivals: bool = False,
) -> Criteria:
    """Read checks out of sentences and objects, of which one may hold a sentence only; "beats_base"
    is always among them, and `with_rivals` the one against something simpler too, unless a sentence
    removes it by its name. ValueError for a malformed object.
    """
    checks, unread = [], []
    for item in written:
        sentence = item if isinstance(item, str) else str(item.get("sentence") or "")
        if REMOVES_RIVALS.fullmatch(sentence):
            with_rivals = False
            continue
        if isinstance(item, str) or (item.get("metric") is None and sentence):
            check = compile_sentence(sentence, labels or ())
        else:
            check = Criterion.from_json(item)
        if check:
            checks.append(check)
        else:
            unread.append(sentence)
    if not any(check.metric == BEATS_BASE and check.of is None for check in checks):
        checks.append(Criterion(BEATS_BASE, ">", 0.0))
    if with_rivals and not any(check.metric == NOT_WORSE_THAN_RIVAL for check in checks):
        checks.append(Criterion(NOT_WORSE_THAN_RIVAL))
    return Criteria(checks, unread)


@dataclass(frozen=True)
class CompiledChecks:
    """What criteria were compiled to, in JSON, and a digest that changes when any check does.

    `objection` says why the metric does not suit the task; it is no part of what is stored.
    """

    metric: str
    checks: list[CheckJson]
    unread: list[str]
    digest: str
    objection: str = ""

    def criteria(self) -> Criteria:
        """Return the checks; ValueError when they are not those that were frozen."""
        checks = [Criterion.from_json({**check}) for check in self.checks]
        if self.digest != digest_of(checks, self.metric):
            raise ValueError("The acceptance contract is not the one that was frozen.")
        return Criteria(checks, self.unread)


def compile_contract(
    written: Sequence[str | Mapping[str, Any]], *, metric: str, labels: Sequence[str] | None = None
) -> CompiledChecks:
    """Compile the criteria as they are shown back and frozen. ValueError for a malformed one."""
    criteria = read_criteria(written, labels, with_rivals=True)
    return CompiledChecks(
        metric=metric,
        checks=[check.with_words() for check in criteria.checks],
        unread=criteria.unread,
        digest=digest_of(criteria.checks, metric),
    )


def digest_of(checks: Sequence[Criterion], metric: str) -> str:
    kept = {"checks": [asdict(check) for check in checks], "metric": metric}
    canonical = json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
