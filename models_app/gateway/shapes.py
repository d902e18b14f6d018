"""The JSON of /v1: requests as they were validated, and answers as OpenAI's clients read them."""

from typing import Literal, NotRequired, TypedDict

from models_app.serving.llama_cpp import Token  # it has OpenAI's shape
from modelstation.lm.chat import Message
from modelstation.lm.json_schema import Schema


class StreamOptions(TypedDict):
    include_usage: bool


class AnswerRequest(TypedDict):
    model: str
    n: int
    stream: bool
    max_tokens: NotRequired[int]
    temperature: NotRequired[float]
    top_p: NotRequired[float]
    seed: NotRequired[int]
    presence_penalty: NotRequired[float]
    frequency_penalty: NotRequired[float]
    logit_bias: NotRequired[dict[int, float]]
    stop: NotRequired[list[str]]
    stream_options: NotRequired[StreamOptions]


class ChatRequest(AnswerRequest):
    messages: list[Message]
    logprobs: bool
    top_logprobs: NotRequired[int]
    max_completion_tokens: NotRequired[int]
    response_format: NotRequired[Schema | None]
    store: NotRequired[bool]
    metadata: NotRequired[dict[str, str]]


class TextRequest(AnswerRequest):
    prompt: list[str]
    logprobs: NotRequired[int]


class ChatLogprobs(TypedDict):
    content: list[Token]
    refusal: None


class TextLogprobs(TypedDict):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class ChatMessage(TypedDict, total=False):
    role: Literal["assistant"]
    content: str
    refusal: None


class LabelShape(TypedDict):
    label: str
    probability: float


class Extension(TypedDict):
    """What OpenAI's answers do not have: the labels of a model that decides, likeliest first."""

    labels: list[LabelShape]


class Choice(TypedDict):
    index: int
    finish_reason: str | None
    logprobs: ChatLogprobs | TextLogprobs | None
    message: NotRequired[ChatMessage]  # of a chat at once
    delta: NotRequired[ChatMessage]  # of a chat's stream
    text: NotRequired[str]  # of a text completion
    modelstation: NotRequired[Extension]


class PromptDetails(TypedDict):
    cached_tokens: int


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class Answer(TypedDict):
    """A whole answer, or a chunk of one that is streamed."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: NotRequired[Usage | None]


class Identified(TypedDict):
    id: str


class StoredMessage(Identified):
    role: str
    content: str
    name: None
    content_parts: None


class StoredShape(Identified):
    """A stored completion. Its parameters stand beside these."""

    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    metadata: dict[str, str]


class ModelShape(Identified):
    object: Literal["model"]
    created: int
    owned_by: str
