"""What an engine is given, and what it answers. No Django."""

from dataclasses import dataclass, field
from typing import ClassVar

from modelstation.lm.json_schema import Schema


@dataclass(frozen=True)
class GenerationConfig:
    max_new_tokens: int = 256
    temperature: float = 0.0  # 0: always the most likely token
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)  # by token id
    top_logprobs: int | None = None  # alternatives of each token; None: no logprobs at all
    json_schema: Schema | None = None  # the answer fits it; {}: any JSON object

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError("max_new_tokens must be at least 1.")
        if not 0 <= self.temperature <= 2:
            raise ValueError("temperature must lie between 0 and 2.")
        if not 0 < self.top_p <= 1:
            raise ValueError("top_p must be above 0 and at most 1.")


@dataclass(frozen=True)
class TokenLogprob:
    token: str
    logprob: float
    bytes: tuple[int, ...]
    top: tuple["TokenLogprob", ...] = ()  # the likeliest at this place, itself mostly among them


@dataclass(frozen=True)
class Piece:
    """What a stream yields: text just decoded, with its tokens where they were requested."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class LabelProbability:
    label: str
    probability: float


@dataclass(frozen=True)
class Completion:
    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str  # "stop" | "length"
    # Of the prompt, read from the cache; no part of what was answered.
    cached_tokens: int = field(default=0, compare=False)
    logprobs: tuple[TokenLogprob, ...] = ()
    # Of a model that decides among labels: the likeliest first, calibrated.
    labels: tuple[LabelProbability, ...] = ()
