"""What is understood of requirements of many trades, as people write them: `intent_cases.jsonl`."""

import json
from pathlib import Path

import pytest

from distillation.pipeline.types import Example, Requirement
from distillation.pipeline.understand.explain import explain
from distillation.pipeline.understand.intent import understand
from distillation.pipeline.understand.json_schema import keys_of
from modelstation.testing import shared_data

LINES = (Path(__file__).parent / "intent_cases.jsonl").read_text(encoding="utf-8").splitlines()
CASES = {case["name"]: case for case in map(json.loads, LINES)}


def requirement_of(case):
    examples = tuple(Example(*pair) for pair in case.get("examples", ()))
    return Requirement(case["text"], case.get("objective", ""), case.get("policy", ""), examples)


@pytest.mark.parametrize("name", CASES)
def test_a_requirement_is_understood(name):
    case = CASES[name]
    intent = understand(requirement_of(case))
    assert intent.task_kind == case["kind"]
    assert list(intent.labels) == case.get("labels", [])
    assert intent.labels_closed == case.get("closed", False)
    assert list(keys_of(intent.json_schema or {})) == case.get("keys", [])
    assert intent.language == case.get("language", "")
    assert all(sentence[0].isupper() and sentence[-1] == "." for _, sentence in explain(intent))


@pytest.mark.parametrize("given", ["examples", "objective and policy", "requirement"])
def test_the_customers_of_the_real_tasks_are_understood(given):
    tasks = json.loads((shared_data() / "eval/intents.json").read_text())["tasks"]
    kinds = {}
    for task in tasks:
        said = (task["objective"], task["policy"]) if given != "requirement" else ("", "")
        pairs = task["examples"] if given == "examples" else []
        examples = tuple(Example(pair["input"], pair["output"]) for pair in pairs)
        intent = understand(Requirement(task["requirement"], *said, examples))
        kinds[task["name"]] = (intent.task_kind, len(intent.labels) if intent.labels_closed else 0)
    assert kinds == {
        "banking77_intent": ("classify", 0),
        "gsm8k": ("number", 0),
        "wikisql_text_to_sql": ("sql", 0),
        "tweet_sentiment": ("classify", 3),
        "clinical_dialogue_summary": ("generate", 0),
        "wnut17_ner": ("extract_json", 0),
        "shell_command": ("generate", 0),
        "pubmedqa": ("classify", 3),
    }


@pytest.mark.parametrize(
    "text",
    [
        "a," * 9000,
        "is a, " * 3000,
        '"a" or ' * 2500,
        "labels: " * 2500,
        " " * 20000,
        ", ; | / " * 900,
    ],
)
def test_no_text_is_so_odd_that_reading_it_does_not_end(text):
    examples = (Example("x", "aa"),)
    assert understand(Requirement(f"Label it. {text}", text, text, examples)).task_kind
    assert understand(Requirement(f"JSON. {text}", text, text)).task_kind == "extract_json"
