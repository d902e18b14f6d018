"""General questions that every small assistant model should go on answering: has tuning made it
forget?

They come without the model's system prompt. Their score is reported, and decides nothing: a model
for one task may well give up the rest, as long as somebody knows.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from modelstation.lm.chat import Message
from training.scoring.intervals import Bootstrap
from training.scoring.pairs import INVALID, PLAIN_NUMBER, canonical, parse_json, same_number
from training.scoring.scorers import Floats, mean_of
from training.scoring.shapes import ProbeReport

FILE = Path(__file__).with_name("probes.jsonl")
MAX_TOKENS = 32
FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")


@dataclass(frozen=True)
class Probe:
    """`check` holds one or more of equals, contains, lacks, regex, number and json; all must
    hold. `good` is an answer that passes.
    """

    id: str
    kind: str
    prompt: str
    check: dict[str, Any]
    good: str

    @property
    def messages(self) -> list[Message]:
        return [{"role": "user", "content": self.prompt}]


@cache
def all_probes() -> tuple[Probe, ...]:
    with FILE.open(encoding="utf-8") as lines:
        return tuple(Probe(**json.loads(line)) for line in lines)


def passes(check: dict[str, Any], answer: str) -> bool:
    """Test an answer on every part of the check. Case counts only where the check says so."""
    cased = bool(check.get("exact_case"))
    text = answer.strip()
    tests = {
        "equals": lambda wanted: _bare(text, cased) in [_bare(part, cased) for part in wanted],
        "contains": lambda wanted: any(_has(text, part, cased) for part in wanted),
        "lacks": lambda wanted: bool(text) and not any(_has(text, t, cased) for t in wanted),
        "regex": lambda wanted: re.search(wanted, text) is not None,
        "number": lambda wanted: bool(same_number(PLAIN_NUMBER.findall(text), [str(wanted)])),
        "json": lambda wanted: _same_json(text, wanted),
    }
    return all(tests[name](wanted) for name, wanted in check.items() if name in tests)


def _bare(text: str, cased: bool) -> str:
    stripped = text.strip(" \t\n.!\"'")
    return stripped if cased else stripped.lower()


def _has(text: str, wanted: str, cased: bool) -> bool:
    flags = 0 if cased else re.IGNORECASE
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", text, flags) is not None


def _same_json(text: str, wanted: Any) -> bool:
    """Compare JSON; a code fence around it is forgiven."""
    value = parse_json(FENCE.sub("", text))
    return value is not INVALID and canonical(value) == canonical(wanted)


def probe_report(base: Sequence[str], tuned: Sequence[str], seed: int) -> ProbeReport:
    """Both scores and their paired difference; `note` is empty unless the drop is beyond chance."""
    probes = all_probes()
    checks = {probe.id: probe.check for probe in probes}
    scorer = mean_of(lambda answer, id: float(passes(checks[id], answer)))
    before, after = (scorer.sums(answers, list(checks)) for answers in (base, tuned))
    bootstrap = Bootstrap(len(probes), seed)
    forgetting = bootstrap.difference(scorer, after, before)
    note = (
        f"The tuned model passes fewer of the {len(probes)} general probes than its base "
        f"({100 * forgetting.score:+.0f} points, beyond chance): tuning made it forget general "
        "skills."
    )
    return {
        "n": len(probes),
        "base": bootstrap.interval(scorer, before).to_json(),
        "tuned": bootstrap.interval(scorer, after).to_json(),
        "forgetting": forgetting.to_json(),
        "kinds": _by_kind(probes, before, after),
        "note": note if forgetting.high < 0 else "",
        "rows": [
            {
                "id": probe.id,
                "prompt": probe.prompt,
                "base": base[i],
                "tuned": tuned[i],
                "base_passed": bool(before[i, 0]),
                "tuned_passed": bool(after[i, 0]),
            }
            for i, probe in enumerate(probes)
        ],
    }


def _by_kind(probes: Sequence[Probe], before: Floats, after: Floats) -> list[dict[str, str | int]]:
    kinds = np.array([probe.kind for probe in probes])
    return [
        {
            "kind": kind,
            "n": int((kinds == kind).sum()),
            "base": int(before[kinds == kind, 0].sum()),
            "tuned": int(after[kinds == kind, 0].sum()),
        }
        for kind in dict.fromkeys(probe.kind for probe in probes)
    ]
