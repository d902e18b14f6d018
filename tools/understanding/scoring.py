"""How much of each requirement of a collection is understood."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distillation.pipeline.types import IntentSpec
from distillation.pipeline.understand.intent import understand
from distillation.pipeline.understand.json_schema import keys_of
from tools.understanding.cases import Case, case_of

NAMED = ("text", "policy", "objective")


@dataclass(frozen=True)
class Outcome:
    case: Case
    intent: IntentSpec

    @property
    def right(self) -> dict[str, bool]:
        """Whether each field is exactly right, of those that the requirement determines."""
        case, intent = self.case, self.intent
        result = {"kind": intent.task_kind == case.kind}
        if case.kind == "classify" and case.labels:
            where = "labels" if case.labels_where in NAMED else "labels by examples"
            result[where] = set(intent.labels) == set(case.labels) and intent.labels_closed
        if case.kind == "extract_json" and case.json_keys:
            result["keys"] = set(keys_of(intent.json_schema or {})) == set(case.json_keys)
        if case.input_language is not None:
            result["language"] = intent.language == case.input_language
        return result

    @property
    def wrong(self) -> bool:
        return not all(is_right for name, is_right in self.right.items() if name != "language")

    @property
    def asked(self) -> bool:
        """Whether a question is about what is wrong; of a right one, whether any is asked."""
        about = {question.field for question in self.intent.questions}
        if not self.wrong:
            return bool(about)
        fields = {"kind": "task_kind", "keys": "json_schema"}
        missed = {
            fields.get(name, "labels")
            for name, is_right in self.right.items()
            if not is_right and name != "language"
        }
        return bool(about & missed)


FIGURES: dict[str, Callable[[Outcome], bool | None]] = {
    "kind": lambda outcome: outcome.right["kind"],
    "kind with examples": lambda outcome: outcome.right["kind"] if outcome.case.examples else None,
    "labels": lambda outcome: outcome.right.get("labels"),
    "labels by examples": lambda outcome: outcome.right.get("labels by examples"),
    "keys": lambda outcome: outcome.right.get("keys"),
    "language": lambda outcome: outcome.right.get("language"),
    "all right": lambda outcome: not outcome.wrong,
    "wrong: asked": lambda outcome: outcome.asked if outcome.wrong else None,
    "right: asked": lambda outcome: None if outcome.wrong else outcome.asked,
}


def outcomes_of(cases: Iterable[Case]) -> list[Outcome]:
    return [Outcome(case, understand(case.as_requirement)) for case in cases]


def figures(outcomes: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Return for each figure how many are right, and of how many."""
    result = {}
    for name, of in FIGURES.items():
        stated = [value for outcome in outcomes if (value := of(outcome)) is not None]
        result[name] = (sum(stated), len(stated))
    return result


def real_cases(folder: Path) -> list[Case]:
    """Read the requirements that people have; what they determine stands in their words."""
    lines = (folder / "requirements/dev.jsonl").read_text(encoding="utf-8").splitlines()
    return [_real_case(json.loads(line)) for line in lines]


def _real_case(stored: dict[str, object]) -> Case:
    outputs = [pair["output"] for pair in stored["examples"]]  # type: ignore[attr-defined]
    keys = list(json.loads(outputs[0])) if stored["kind"] == "extract_json" else None
    same = {"input_language": stored["language"], "labels_where": "text", "json_keys": keys}
    return case_of(stored | same)
