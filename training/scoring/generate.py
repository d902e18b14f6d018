"""Held-out rows and the answers of a model to them, through the engine that will serve it."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from models_app.serving.encoder.engine import EncoderEngine
from models_app.serving.engine import Completion, Engine, GenerationConfig
from modelstation.lm.chat import ChatRenderer, Message, load_renderer
from training.plan.estimate.measure import idle_cores
from training.scoring.shapes import GenerationFacts

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
    """Answers in the order of the prompts; `tokens` are each answer's. `latencies` are seconds of
    a few answers requested one by one.
    """

    texts: list[str]
    seconds: float
    answer_tokens: int
    cut_off: int
    tokens: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    distinct_prompts: int = 0  # prompts that differ: the others share an answer
    cached: bool = False  # read from an earlier evaluation, whose seconds these are

    def facts(self) -> GenerationFacts:
        return {
            "seconds": self.seconds,
            "answer_tokens": self.answer_tokens,
            "cut_off": self.cut_off,
            "tokens_per_second": self.answer_tokens / max(self.seconds, 1e-9),
            "asked": self.distinct_prompts,
            "cached": self.cached,
            "latency": median(self.latencies) if self.latencies else None,
        }


def held_out(conversations: Sequence[list[Message]], system_prompt: str) -> HeldOut:
    """Put the model's one system prompt before every row; a row's own is kept only where there is
    none.
    """
    prompts = [_prompt(messages[:-1], system_prompt) for messages in conversations]
    questions = [
        [turn["content"] for turn in prompt if turn["role"] == "user"] for prompt in prompts
    ]
    references = [messages[-1]["content"] for messages in conversations]
    return HeldOut(prompts, [asked[-1] if asked else "" for asked in questions], references)


def _prompt(turns: list[Message], system_prompt: str) -> list[Message]:
    if not system_prompt:
        return turns
    rest = [turn for turn in turns if turn["role"] != "system"]
    return [{"role": "system", "content": system_prompt}, *rest]


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
    timed: int = 0,
    exact: bool = False,
) -> Generated:
    """Return every prompt's answer at temperature 0, in order. `on_done` gets how many are ready.

    A prompt that occurs twice is answered once. The first `timed` prompts are timed one by one.
    `exact`: one at a time, and no rounding but the file's own; else as it is served, many at once.
    """
    renderer = load_renderer(tokenizer_folder)
    unique = distinct(prompts)
    lengths = [len(renderer.render_prompt(prompt)) for prompt in unique]
    requests = [unique[place] for place in batching_order(unique, lengths)]
    context = -(-(max(lengths) + max_tokens) // CONTEXT_STEP) * CONTEXT_STEP
    config = GenerationConfig(max_new_tokens=max_tokens)
    start = partial(Engine, exact=True, n_parallel=1) if exact else Engine
    engine = start(gguf, tokenizer_folder, n_ctx=context, n_threads=idle_cores())
    try:
        started = time.monotonic()
        answer = _one_by_one if exact else Engine.generate_many
        generations = answer(engine, requests, config, on_done)
        seconds = time.monotonic() - started
        latencies = [_seconds_of(engine, prompt, config) for prompt in prompts[:timed]]
    finally:
        engine.close()
    by_prompt = {_key(prompt): one for prompt, one in zip(requests, generations, strict=True)}
    answers = [by_prompt[_key(prompt)] for prompt in prompts]
    return Generated(
        texts=[answer.text for answer in answers],
        seconds=seconds,
        answer_tokens=sum(answer.completion_tokens for answer in generations),
        cut_off=sum(answer.finish_reason == "length" for answer in answers),
        tokens=[answer.completion_tokens for answer in answers],
        latencies=latencies,
        distinct_prompts=len(unique),
    )


def classify(
    head_file: Path,
    prompts: Sequence[list[Message]],
    *,
    on_done: Callable[[int], None],
    timed: int = 0,
) -> Generated:
    """Return every prompt's label, in order, through the encoder that will serve it."""
    engine, config = EncoderEngine(head_file), GenerationConfig()
    unique = distinct(prompts)
    started = time.monotonic()
    answers = engine.generate_many(unique, config, on_done)
    seconds = time.monotonic() - started
    by_prompt = {_key(prompt): each.text for prompt, each in zip(unique, answers, strict=True)}
    return Generated(
        texts=[by_prompt[_key(prompt)] for prompt in prompts],
        seconds=seconds,
        answer_tokens=sum(each.completion_tokens for each in answers),
        cut_off=0,
        tokens=[1] * len(prompts),
        latencies=[_seconds_of(engine, prompt, config) for prompt in prompts[:timed]],
        distinct_prompts=len(unique),
    )


def _one_by_one(
    engine: Engine,
    prompts: Sequence[list[Message]],
    config: GenerationConfig,
    on_done: Callable[[int], None],
) -> list[Completion]:
    answers = []
    for done, prompt in enumerate(prompts, 1):
        answers.append(engine.generate(prompt, config))
        on_done(done)
    return answers


def distinct(prompts: Sequence[list[Message]]) -> list[list[Message]]:
    return list({_key(prompt): prompt for prompt in prompts}.values())


def _key(prompt: list[Message]) -> str:
    return json.dumps(prompt, sort_keys=True)


def batching_order(prompts: Sequence[list[Message]], lengths: Sequence[int]) -> list[int]:
    """Those of one system prompt together, for its tokens are computed once for them all; in each
    group the longest first, so that no long one is left running alone at the end.
    """
    groups = [prompt[0]["content"] if prompt[0]["role"] == "system" else "" for prompt in prompts]
    return sorted(range(len(prompts)), key=lambda place: (groups[place], -lengths[place]))


def _seconds_of(
    engine: Engine | EncoderEngine, prompt: list[Message], config: GenerationConfig
) -> float:
    started = time.monotonic()
    engine.generate(prompt, config)
    return time.monotonic() - started
