"""What the tuned model is measured against: criteria written as checks, or read out of plain
sentences.

    python -m pytest training/tests/scoring/test_criteria.py

A sentence that cannot be turned into a check is handed back as unread: a criterion that nobody
measured must not pass.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.scoring.criterion import (
    BEATS_BASE,
    NOT_WORSE_THAN_LIVE,
    OPS,
    Criterion,
    in_words,
)
from training.scoring.sentences import FINAL_NUMBER_LINE, compile_sentence

__all__ = [
    "BEATS_BASE",
    "FINAL_NUMBER_LINE",
    "NOT_WORSE_THAN_LIVE",
    "OPS",
    "Criteria",
    "Criterion",
    "compile_contract",
    "compile_sentence",
    "contract_criteria",
    "in_words",
    "read_criteria",
]


@dataclass(frozen=True)
class Criteria:
    checks: list[Criterion]
    unread: list[str]


def read_criteria(
    written: Sequence[str | dict[str, Any]], labels: Sequence[str] | None = None
) -> Criteria:
    """Checks out of objects and sentences; "beats_base" is always among them. ValueError for a
    malformed object.
    """
    checks, unread = [], []
    for item in written:
        check = _read(item, labels or ())
        if check is None:
            unread.append(item if isinstance(item, str) else str(item.get("sentence")))
        else:
            checks.append(check)
    if not any(check.metric == BEATS_BASE and check.of is None for check in checks):
        checks.append(Criterion(BEATS_BASE, ">", 0.0))
    return Criteria(checks, unread)


def _read(item: str | dict[str, Any], labels: Sequence[str]) -> Criterion | None:
    """An object with only a sentence is read as that sentence."""
    if isinstance(item, str):
        return compile_sentence(item, labels)
    if item.get("metric") is None and item.get("sentence"):
        return compile_sentence(str(item["sentence"]), labels)
    return Criterion.from_json(item)


def compile_contract(
    written: Sequence[str | dict[str, Any]],
    *,
    metric: str,
    labels: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The contract as it is shown back and frozen: its checks in JSON, each in plain words, what
    could not be read, and a digest that changes when any check does.
    """
    criteria = read_criteria(written, labels)
    checks = [check.to_json() for check in criteria.checks]
    return {
        "metric": metric,
        "checks": [
            {**check, "words": in_words(criterion)}
            for check, criterion in zip(checks, criteria.checks, strict=True)
        ],
        "unread": criteria.unread,
        "digest": digest_of(checks, metric),
    }


def contract_criteria(contract: dict[str, Any]) -> Criteria:
    """The checks of a frozen contract; ValueError when they are not those that were frozen."""
    criteria = read_criteria(contract["checks"])
    checks = [check.to_json() for check in criteria.checks]
    if contract.get("digest") != digest_of(checks, contract["metric"]):
        raise ValueError("The acceptance contract is not the one that was frozen.")
    return Criteria(criteria.checks, list(contract.get("unread") or []))


def digest_of(checks: Sequence[dict[str, Any]], metric: str) -> str:
    canonical = json.dumps(
        {"checks": checks, "metric": metric},
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
