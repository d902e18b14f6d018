"""Generates with one GGUF file through llama.cpp, in this process.

The prompt is sent as the token ids of our own chat renderer, so the template used in training is
the template used here. No Django, no torch.
"""

import os
import queue
import secrets
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from modelstation.lm.chat import ChatRenderer, Message, load_renderer


class ServingError(Exception):
    """A request that cannot be served; `message` is a sentence for the user."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True)
class GenerationConfig:
    max_tokens: int = 256
    temperature: float = 0.0  # 0: always the most likely token
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)  # by token id
    top_logprobs: int | None = None  # alternatives told for each token; None: no logprobs at all
    json_schema: dict[str, Any] | None = None  # the answer fits it; {}: any JSON object

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1.")
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
    """What a stream yields: text just decoded, with its tokens where they were asked for."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Completion:
    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str  # "stop" | "length"
    # Of the prompt, read from the cache: says how it was made, not what was said.
    cached_tokens: int = field(default=0, compare=False)
    logprobs: tuple[TokenLogprob, ...] = ()


class Engine:
    """One loaded model. Thread-safe: requests that meet are decoded together.

    n_ctx counts the tokens of one conversation, prompt and answer; n_parallel conversations are
    decoded at a time, each with a cache of its own. `exact`: nothing is rounded that need not be,
    for comparisons with other runtimes; slower.
    """

    def __init__(
        self,
        gguf: Path,
        tokenizer_folder: Path,
        *,
        n_ctx: int = 2048,
        n_threads: int | None = None,
        n_parallel: int = 8,
        exact: bool = False,
    ) -> None:
        self.n_ctx = n_ctx
        self.n_parallel = n_parallel
        self._renderer = load_renderer(tokenizer_folder)
        self._server = _start(gguf, n_ctx, n_threads or default_threads(), n_parallel, exact)
        # llama.cpp waits for ever when it is closed before its loop has begun: one token shows
        # that it has, and reads the weights into memory.
        first = {"prompt": [self._renderer.eos_token_id], "max_tokens": 1, "cache_prompt": False}
        self._server.handle_completions(first)

    def generate(self, messages: list[Message], config: GenerationConfig) -> Completion:
        """The same answer every time at temperature 0 while no other request runs beside it."""
        # Cached prompt ids were computed in another batch shape, which can tip a near tie.
        return self._complete(messages, config, cache_prompt=config.temperature > 0)

    def generate_many(
        self,
        conversations: Sequence[list[Message]],
        config: GenerationConfig,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        """Answers in the order of `conversations`; `on_done` hears how many are finished.

        Requests share batches and cached prefixes, which makes this several times faster than one
        by one, and lets a near tie between two tokens fall either way. What `on_done` raises stops
        the rest.
        """
        with ThreadPoolExecutor(self.n_parallel) as executor:
            futures = [
                executor.submit(self._complete, messages, config, cache_prompt=True)
                for messages in conversations
            ]
            try:
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    if on_done:
                        on_done(done)
            except BaseException:
                executor.shutdown(cancel_futures=True)
                raise
        return [future.result() for future in futures]

    def decode(
        self, prompt: list[int], config: GenerationConfig, hand_over: Callable[[Piece], bool]
    ) -> Completion | None:
        """The answer to these token ids; `hand_over` gets each piece as it is decoded, and stops
        the rest by saying True: then there is no Completion. A shared beginning is read from the
        cache, so that a near tie may fall otherwise than in `generate`.
        """
        text, last, failed = "", None, None
        logprobs: list[TokenLogprob] = []

        def take(chunk: dict[str, Any]) -> bool:
            nonlocal text, last, failed
            try:
                choice = _choice(chunk)
            except ServingError as error:
                failed = error
                return True
            piece = Piece(choice["text"], _logprobs(choice["logprobs"]))
            text += piece.text
            logprobs.extend(piece.logprobs)
            last = chunk if choice["finish_reason"] else None
            return bool(piece.text or piece.logprobs) and hand_over(piece)

        request = self._request(prompt, config, cache_prompt=True)
        self._server.handle_completions({**request, "stream": True}, take)
        if failed is not None:
            raise failed
        return _completion(last, text, tuple(logprobs)) if last else None

    def stream(
        self, messages: list[Message], config: GenerationConfig
    ) -> Generator[Piece | Completion, None, None]:
        """Pieces of text as they are decoded, then the Completion. Closing it stops decoding."""
        prompt = render(self._renderer, messages)
        heard: queue.SimpleQueue[Piece | Completion | Exception | None] = queue.SimpleQueue()
        stopped = threading.Event()

        def hand_over(piece: Piece) -> bool:
            heard.put(piece)
            return stopped.is_set()

        def run() -> None:
            try:
                heard.put(self.decode(prompt, config, hand_over))
            except Exception as error:
                heard.put(error)

        worker = threading.Thread(target=run, daemon=True)
        worker.start()
        try:
            while isinstance(event := heard.get(), Piece):
                yield event
            if isinstance(event, Exception):
                raise event
            if event is not None:
                yield event
        finally:
            stopped.set()
            # An abandoned stream may be collected in any thread, that one included.
            if worker is not threading.current_thread():
                worker.join()

    def close(self) -> None:
        """Frees the model. No request may be running."""
        self._server = None

    def _complete(
        self, messages: list[Message], config: GenerationConfig, *, cache_prompt: bool
    ) -> Completion:
        prompt = render(self._renderer, messages)
        reply = self._server.handle_completions(
            self._request(prompt, config, cache_prompt=cache_prompt)
        )
        choice = _choice(reply)
        return _completion(reply, choice["text"], _logprobs(choice["logprobs"]))

    def _request(
        self, prompt: list[int], config: GenerationConfig, *, cache_prompt: bool
    ) -> dict[str, Any]:
        request = {
            "prompt": prompt,
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            # llama.cpp has its own ideas of both; temperature and top_p alone decide here.
            "top_k": 0,
            "min_p": 0.0,
            "stop": list(config.stop),
            "presence_penalty": config.presence_penalty,
            "frequency_penalty": config.frequency_penalty,
            "logit_bias": [[token, bias] for token, bias in config.logit_bias.items()],
            "cache_prompt": cache_prompt,
        }
        if config.seed is not None:
            request["seed"] = config.seed
        if config.top_logprobs is not None:
            request["logprobs"] = max(1, config.top_logprobs)  # none is told with 0 of them
        if config.json_schema is not None:
            request["json_schema"] = usable_schema(config.json_schema)
        return request


def render(renderer: ChatRenderer, messages: list[Message]) -> list[int]:
    """Token ids of the conversation, up to where the answer begins."""
    try:
        return renderer.render_prompt(messages)
    except ValueError as error:
        raise ServingError(str(error), code="invalid_messages") from error


def usable_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """As llama.cpp takes it; {} asks for any object. What it would silently ignore is refused."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ServingError(
            f"The JSON schema is not valid: {error.message}", code="invalid_json_schema"
        ) from error
    return schema or {"type": "object"}


def refuse_too_long(tokens: int, n_ctx: int) -> None:
    if tokens >= n_ctx:
        raise ServingError(
            f"The prompt has {tokens} tokens; this model takes fewer than {n_ctx}, answer "
            "included. Shorten the messages.",
            code="context_length_exceeded",
        )


def default_threads() -> int:
    """Half the cores. The threads of llama.cpp wait for each other by spinning: with as many as
    cores, and a training run beside them, two cores gave 3 tokens/s where one thread gives 45.
    """
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _start(gguf: Path, n_ctx: int, n_threads: int, n_parallel: int, exact: bool) -> Any:
    import xllamacpp

    if not gguf.is_file():
        raise ServingError(f"The model file {gguf.name} does not exist.", code="model_file_missing")
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx = n_ctx * n_parallel
    params.n_parallel = n_parallel
    params.cpuparams.n_threads = n_threads
    params.cpuparams_batch.n_threads = n_threads
    params.warmup = False
    params.fit_params = False
    params.verbosity = 0
    if exact:
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    # It also listens on a loopback port, which cannot be turned off; nobody knows this key.
    params.api_keys = [secrets.token_hex()]
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise ServingError(
            f"The model file {gguf.name} cannot be loaded: it is damaged or of an unknown kind.",
            code="model_unreadable",
        ) from error


def _choice(reply: dict[str, Any]) -> dict[str, Any]:
    error = reply.get("error")
    if error is None:
        choice: dict[str, Any] = reply["choices"][0]
        return choice
    if error["type"] == "exceed_context_size_error":
        refuse_too_long(error["n_prompt_tokens"], error["n_ctx"])
    if "grammar" in error["message"] or "schema" in error["message"].lower():
        raise ServingError(
            f"The JSON schema cannot be kept to: {error['message']}", code="invalid_json_schema"
        )
    raise ServingError(f"The model could not answer: {error['message']}", code="generation_failed")


def _completion(reply: dict[str, Any], text: str, logprobs: tuple[TokenLogprob, ...]) -> Completion:
    usage = reply["usage"]
    return Completion(
        text=text,
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        finish_reason=reply["choices"][0]["finish_reason"],
        cached_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
        logprobs=logprobs,
    )


def _logprobs(told: dict[str, Any] | None) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            each["token"],
            each["logprob"],
            tuple(each["bytes"]),
            _logprobs({"content": each.get("top_logprobs", ())}),
        )
        for each in (told or {}).get("content", ())
    )
