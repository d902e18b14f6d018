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

from modelstation.lm.chat import Message, load_renderer


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
    cached_tokens: int = 0  # of the prompt, read from the cache
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
        # that it has.
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

    def stream(
        self, messages: list[Message], config: GenerationConfig
    ) -> Generator[Piece | Completion, None, None]:
        """Pieces of text as they are decoded, then the Completion. Closing it stops decoding."""
        request = self._request(messages, config, cache_prompt=config.temperature > 0)
        chunks: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()
        stopped = threading.Event()
        worker = threading.Thread(target=self._decode, args=(request, chunks, stopped), daemon=True)
        worker.start()
        text = ""
        try:
            while (chunk := chunks.get()) is not None:
                if isinstance(chunk, Exception):
                    raise chunk
                choice = _choice(chunk)
                if choice["text"]:
                    text += choice["text"]
                    yield Piece(choice["text"])
                if choice["finish_reason"]:
                    yield _completion(chunk, text)
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
        reply = self._server.handle_completions(
            self._request(messages, config, cache_prompt=cache_prompt)
        )
        return _completion(reply, _choice(reply)["text"])

    def _decode(
        self,
        request: dict[str, Any],
        chunks: "queue.SimpleQueue[dict[str, Any] | Exception | None]",
        stopped: threading.Event,
    ) -> None:
        def hand_over(chunk: dict[str, Any]) -> bool:
            chunks.put(chunk)
            return stopped.is_set()  # True makes llama.cpp stop decoding

        try:
            self._server.handle_completions({**request, "stream": True}, hand_over)
        except Exception as error:
            chunks.put(error)
        finally:
            chunks.put(None)

    def _prompt(self, messages: list[Message]) -> list[int]:
        try:
            return self._renderer.render_prompt(messages)
        except ValueError as error:
            raise ServingError(str(error), code="invalid_messages") from error

    def _request(
        self, messages: list[Message], config: GenerationConfig, *, cache_prompt: bool
    ) -> dict[str, Any]:
        seed = {} if config.seed is None else {"seed": config.seed}
        return {
            "prompt": self._prompt(messages),
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            # llama.cpp has its own ideas of both; temperature and top_p alone decide here.
            "top_k": 0,
            "min_p": 0.0,
            "stop": list(config.stop),
            "cache_prompt": cache_prompt,
            **seed,
        }


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
        raise ServingError(
            f"The prompt has {error['n_prompt_tokens']} tokens; this model takes fewer than "
            f"{error['n_ctx']}, answer included. Shorten the messages.",
            code="context_length_exceeded",
        )
    raise ServingError(f"The model could not answer: {error['message']}", code="generation_failed")


def _completion(reply: dict[str, Any], text: str) -> Completion:
    usage = reply["usage"]
    return Completion(
        text=text,
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        finish_reason=reply["choices"][0]["finish_reason"],
    )
