"""The model's one form: its system prompt, the row's input, an answer in the user's spelling.

Most sources word the same instruction in a few ways: those system turns are dropped. Where a source
has many, they carry information (the section to write, the value asked for) and join the input.
Try it: pytest distillation/tests/pipeline/understand/test_row_format.py
"""

from collections import defaultdict
from collections.abc import Sequence

from distillation.pipeline.text import input_text
from distillation.pipeline.types import Candidate, Example, Message

MANY_SYSTEM_TURNS = 12


def sources_with_own_instructions(rows: Sequence[Candidate]) -> set[str]:
    """Return sources whose system turns say something that differs from row to row."""
    turns: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        turns[row.source_id].add(row.system)
    return {source_id for source_id, result in turns.items() if len(result) > MANY_SYSTEM_TURNS}


def model_input(candidate: Candidate, instructed: set[str]) -> str:
    text = input_text(candidate.messages)
    if candidate.source_id in instructed and candidate.system:
        return f"{candidate.system}\n\n{text}"
    return text


def model_messages(system_prompt: str, text: str, answer: str) -> tuple[Message, ...]:
    return (
        {"role": "system", "content": system_prompt},
        {"role": "user", "content": text},
        {"role": "assistant", "content": answer},
    )


def held_out_messages(
    system_prompt: str, held_out: Sequence[Example]
) -> tuple[tuple[Message, ...], ...]:
    return tuple(model_messages(system_prompt, row.input, row.output) for row in held_out)
