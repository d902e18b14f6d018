"""The JSON that llama.cpp's server takes and gives, and what its replies mean. No Django."""

from typing import NotRequired, TypedDict

from models_app.serving.answers import Completion, TokenLogprob
from models_app.serving.errors import ServingError, too_long


class Request(TypedDict):
    prompt: list[int]
    max_tokens: int
    cache_prompt: NotRequired[bool]
    stream: NotRequired[bool]
    id_slot: NotRequired[int]
    temperature: NotRequired[float]
    top_p: NotRequired[float]
    top_k: NotRequired[int]
    min_p: NotRequired[float]
    seed: NotRequired[int]
    stop: NotRequired[list[str]]
    presence_penalty: NotRequired[float]
    frequency_penalty: NotRequired[float]
    repeat_last_n: NotRequired[int]
    logit_bias: NotRequired[list[list[float]]]
    logprobs: NotRequired[int]
    grammar: NotRequired[str]


class Token(TypedDict):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: NotRequired[list["Token"]]


class Logprobs(TypedDict):
    content: list[Token]


class Choice(TypedDict):
    text: str
    finish_reason: str
    logprobs: NotRequired[Logprobs | None]


class PromptDetails(TypedDict, total=False):
    cached_tokens: int


class Usage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: NotRequired[PromptDetails | None]


class Error(TypedDict):
    type: str
    message: str
    n_prompt_tokens: NotRequired[int]
    n_ctx: NotRequired[int]


class Reply(TypedDict):
    choices: list[Choice]
    usage: Usage
    error: NotRequired[Error]


def first_choice(reply: Reply) -> Choice:
    """Raise ServingError where the reply is an error."""
    error = reply.get("error")
    if error is None:
        return reply["choices"][0]
    if error["type"] == "exceed_context_size_error":
        raise too_long(error["n_prompt_tokens"], error["n_ctx"])
    raise ServingError(f"The model could not answer: {error['message']}", code="generation_failed")


def completion_of(reply: Reply, text: str, logprobs: tuple[TokenLogprob, ...]) -> Completion:
    usage = reply["usage"]
    return Completion(
        text=text,
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        finish_reason=reply["choices"][0]["finish_reason"],
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
        logprobs=logprobs,
    )


def logprobs_of(choice: Choice, n_top: int | None) -> tuple[TokenLogprob, ...]:
    """Their bytes together are the text's: a character made of several tokens is reported as one,
    with the probability of its last; llama.cpp says nothing of the others.
    """
    logprobs = choice.get("logprobs")
    if n_top is None or not logprobs:
        return ()
    return tuple(_token(each, n_top) for each in logprobs["content"])


def _token(token: Token, n_top: int) -> TokenLogprob:
    return TokenLogprob(
        token["token"],
        token["logprob"],
        tuple(token["bytes"]),
        tuple(_token(each, 0) for each in token.get("top_logprobs", ())[:n_top]),
    )
