"""What a run will take before it is started: requests, tokens, money and minutes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Protocol

from distillation.pipeline.types import Example, IntentSpec, Requirement
from distillation.teachers import prompts, wire, working
from distillation.teachers.prompts import Prompt

USED_SHARE = 0.75  # of the rows that are written; the rest is refused
SECONDS_A_REQUEST = 6.0  # of a hosted model, about
BUDGET_FACTOR = 2  # of an estimate: the budget where nobody gives another
USUAL_CHARS = 200  # of an input, where there is no example


class Priced(Protocol):
    requests_per_minute: int
    max_concurrent: int

    def cost_of(self, prompt_tokens: int, completion_tokens: int) -> Decimal: ...


@dataclass(frozen=True)
class Estimate:
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: str  # a decimal, in the teacher's currency
    minutes: float

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"tokens": self.tokens}


def estimate(
    teacher: Priced,
    requirement: Requirement,
    intent: IntentSpec,
    *,
    action: str,
    rows: int,
    inputs: Sequence[str] = (),
) -> Estimate:
    """Of the prompts that the action would send, on usual rows."""
    asked = _prompts(requirement, intent, action, rows, inputs)
    requests = sum(count for _, count in asked)
    expected = [(wire.expected_tokens(prompt), count) for prompt, count in asked]
    question = sum(tokens[0] * count for tokens, count in expected)
    answer = sum(tokens[1] * count for tokens, count in expected)
    pace = max(60 / max(1, teacher.requests_per_minute), SECONDS_A_REQUEST / teacher.max_concurrent)
    cost = teacher.cost_of(question, answer)
    return Estimate(requests, question, answer, f"{cost:.4f}", round(requests * pace / 60, 1))


def _prompts(
    requirement: Requirement, intent: IntentSpec, action: str, rows: int, inputs: Sequence[str]
) -> list[tuple[Prompt, int]]:
    """One of each kind, and how many of it."""
    write, check = working.ROWS_A_REQUEST, working.CHECKED_A_REQUEST
    usual = _usual_row(requirement)
    given = list(inputs[:check]) or [usual.input] * check
    answers = prompts.answer(requirement, intent, given, seed=0)
    verdicts = prompts.judge(requirement, [usual] * check, seed=0)
    if action == "label":
        return [(answers, _pages(len(inputs) or rows, check) * working.VOTES)]
    if action == "judge":
        return [(verdicts, _pages(rows, check))]
    wanted = round(rows / USED_SHARE)
    rewritten = prompts.rewrite(requirement, intent, [usual] * write, seed=0)
    written = prompts.write(requirement, intent, count=write, seed=0, labels=intent.labels)
    first = rewritten if action == "rewrite" else written
    return [(first, _pages(wanted, write)), (answers, _pages(wanted, check)),
            (verdicts, _pages(wanted, check))]  # fmt: skip


def _pages(rows: int, size: int) -> int:
    return -(-rows // size)


def _usual_row(requirement: Requirement) -> Example:
    examples = requirement.examples
    return examples[0] if examples else Example("x" * USUAL_CHARS, "x" * (USUAL_CHARS // 4))
