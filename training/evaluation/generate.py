"""Held-out rows and the answers of a model to them, through the engine that will serve it.

python -m pytest training/tests/test_evaluator_child.py
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models_app.serving.engine import Engine, GenerationConfig
from modelstation.lm.chat import ChatRenderer, Message, load_renderer
from training.recipes.machine import idle_cores

LEAST_ANSWER_TOKENS = 16
MOST_ANSWER_TOKENS = 512
ROOM = 1.25  # an answer may be a quarter longer than the longest reference before it is cut
CONTEXT_STEP = 256


@dataclass(frozen=True)
class HeldOut:
    """Prompts as both models get them, the input as people read it, and the reference answer."""

    prompts: list[list[Message]]
    inputs: list[str]
    references: list[str]


@dataclass(frozen=True)
class Generated:
    texts: list[str]
    seconds: float
    answer_tokens: int
    cut_off: int

    def facts(self) -> dict[str, float]:
        return {
            "seconds": self.seconds,
            "answer_tokens": self.answer_tokens,
            "cut_off": self.cut_off,
            "tokens_per_second": self.answer_tokens / max(self.seconds, 1e-9),
        }


def held_out(conversations: Sequence[list[Message]], system_prompt: str) -> HeldOut:
    """The model's one system prompt stands before every row; a row's own is kept only where there
    is none.
    """
    prompts = [_prompt(messages[:-1], system_prompt) for messages in conversations]
    return HeldOut(
        prompts=prompts,
        inputs=[_last_of_user(prompt) for prompt in prompts],
        references=[messages[-1]["content"] for messages in conversations],
    )


def _prompt(turns: list[Message], system_prompt: str) -> list[Message]:
    if not system_prompt:
        return turns
    rest = [turn for turn in turns if turn["role"] != "system"]
    return [{"role": "system", "content": system_prompt}, *rest]


def _last_of_user(prompt: list[Message]) -> str:
    return next((turn["content"] for turn in reversed(prompt) if turn["role"] == "user"), "")


def answer_budget(references: Sequence[str], renderer: ChatRenderer) -> int:
    """Tokens that an answer may take: enough for every reference, and a cap on a model that does
    not stop.
    """
    longest = max(renderer.count_tokens(reference) for reference in references)
    return min(MOST_ANSWER_TOKENS, max(LEAST_ANSWER_TOKENS, int(longest * ROOM) + 1))


def generate(
    gguf: Path,
    tokenizer_folder: Path,
    prompts: Sequence[list[Message]],
    *,
    max_tokens: int,
    on_done: Callable[[int], None],
) -> Generated:
    """Every prompt's answer at temperature 0, in order. `on_done` is told how many are ready."""
    renderer = load_renderer(tokenizer_folder)
    longest = max(len(renderer.render_prompt(prompt)) for prompt in prompts)
    context = -(-(longest + max_tokens) // CONTEXT_STEP) * CONTEXT_STEP
    started = time.monotonic()
    engine = Engine(gguf, tokenizer_folder, n_ctx=context, n_threads=idle_cores())
    try:
        found = engine.generate_many(prompts, GenerationConfig(max_tokens=max_tokens), on_done)
    finally:
        engine.close()
    return Generated(
        texts=[completion.text for completion in found],
        seconds=time.monotonic() - started,
        answer_tokens=sum(completion.completion_tokens for completion in found),
        cut_off=sum(completion.finish_reason == "length" for completion in found),
    )
