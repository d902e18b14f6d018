"""The starter corpus: every family in turn, each one a source of its own, all under CC0-1.0.

`python -m tools.starter` writes it to distillation/starter, from where the product reads it.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from tools.starter import (
    arithmetic,
    dates,
    event_slots,
    helpdesk,
    home_assistant,
    list_tasks,
    office_questions,
    order_slots,
    rewriting,
    sentiment,
    shop_messages,
    short_answers,
    subject_lines,
    text_to_sql,
    units,
)
from tools.starter.grammar import Row

STARTER_FILE = Path(__file__).parents[2] / "distillation/starter/starter.jsonl.gz"
LICENSE = "CC0-1.0"
SEED = 0
FAMILIES: dict[str, Callable[[Random], Iterator[Row]]] = {
    "helpdesk": helpdesk.generate,
    "home_assistant": home_assistant.generate,
    "shop_messages": shop_messages.generate,
    "office_questions": office_questions.generate,
    "sentiment": sentiment.generate,
    "order_slots": order_slots.generate,
    "event_slots": event_slots.generate,
    "text_to_sql": text_to_sql.generate,
    "arithmetic": arithmetic.generate,
    "units": units.generate,
    "dates": dates.generate,
    "rewriting": rewriting.generate,
    "short_answers": short_answers.generate,
    "list_tasks": list_tasks.generate,
    "subject_lines": subject_lines.generate,
}


def packed() -> bytes:
    """Return the file's bytes: without a time stamp, so that the same rows give the same file."""
    return gzip.compress(jsonl().encode(), mtime=0)


def jsonl() -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in starter_rows())


def starter_rows(seed: int = SEED) -> Iterator[dict[str, Any]]:
    """Yield the same rows in the same order for the same seed, on every machine."""
    for family, generate in FAMILIES.items():
        # Of its own seed, so that a change of one family leaves the others as they are.
        for number, row in enumerate(generate(Random(f"{seed} {family}")), 1):
            yield {
                "id": f"{family}-{number:04}",
                "source": f"starter_{family}",
                "license": LICENSE,
                "task": row.task,
                "messages": messages_of(row),
            }


def messages_of(row: Row) -> list[dict[str, str]]:
    turns = [("system", row.system), ("user", row.user), ("assistant", row.answer)]
    return [{"role": role, "content": content} for role, content in turns if content]
