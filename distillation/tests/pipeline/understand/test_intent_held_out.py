"""How much is understood of requirements that no rule was written from.

`intent_cases_held_out.jsonl` was written before it was tried; no rule is tuned on it. The floors
are what was measured, so that a change that understands less is seen.
"""

import json
from pathlib import Path

import pytest

from distillation.pipeline.types import Example, Requirement
from distillation.pipeline.understand.intent import understand
from distillation.pipeline.understand.json_schema import keys_of
from modelstation.testing import shared_data

HELD_OUT = Path(__file__).parent / "intent_cases_held_out.jsonl"
EMPTY = {"labels": [], "closed": False, "keys": [], "language": ""}


def cases_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def understood(text, objective="", policy="", examples=()):
    pairs = tuple(Example(*pair) for pair in examples)
    intent = understand(Requirement(text, objective, policy, pairs))
    return {
        "kind": intent.task_kind,
        "labels": list(intent.labels),
        "closed": intent.labels_closed,
        "keys": sorted(keys_of(intent.json_schema or {})),
        "language": intent.language,
    }


def share_right(field, pairs):
    """Of the cases in which the field was meant or understood; those that differ are printed."""
    stated = [
        (name, want[field], got[field]) for name, want, got in pairs if want[field] or got[field]
    ]
    misses = [(name, want, got) for name, want, got in stated if want != got]
    for name, want, got in misses:
        print(f"{field} of {name!r}: {want!r} was meant, {got!r} was understood")
    return round(1 - len(misses) / len(stated), 2)


@pytest.fixture(scope="module")
def held_out():
    return [
        (
            case["name"],
            EMPTY | case | {"keys": sorted(case.get("keys", []))},
            understood(
                case["text"],
                policy=case.get("policy", ""),
                objective=case.get("objective", ""),
                examples=case.get("examples", ()),
            ),
        )
        for case in cases_of(HELD_OUT)
    ]


@pytest.fixture(scope="module")
def real_requirements():
    """As people really have them, with examples."""
    return [
        (
            case["id"],
            {"kind": case["kind"], "labels": case["labels"] or [], "language": case["language"]},
            understood(
                case["requirement"],
                case["objective"],
                case["policy"],
                [(pair["input"], pair["output"]) for pair in case["examples"]],
            ),
        )
        for case in cases_of(shared_data() / "requirements/dev.jsonl")
    ]


@pytest.mark.parametrize(
    ("field", "floor"),
    [("kind", 0.78), ("labels", 0.38), ("closed", 0.44), ("keys", 0.43), ("language", 0.83)],
)
def test_requirements_that_no_rule_was_written_from_are_understood(held_out, field, floor):
    assert share_right(field, held_out) >= floor


@pytest.mark.parametrize(("field", "floor"), [("kind", 0.96), ("labels", 0.67), ("language", 0.88)])
def test_requirements_as_people_have_them_are_understood(real_requirements, field, floor):
    assert share_right(field, real_requirements) >= floor
