"""Generates with one GGUF file through llama.cpp, in this process.

The prompt is sent as the token ids of our own chat renderer, so the template used in training is
the template used here. No Django, no torch.
"""

import json
import os
import queue
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from models_app.serving import llama_cpp
from models_app.serving.answers import Completion, GenerationConfig, Piece
from models_app.serving.errors import ServingError, not_there
from models_app.serving.json_schemas import grammar, refused
from models_app.serving.llama_cpp import completion_of, first_choice, logprobs_of
from models_app.serving.prompts import PromptReader
from models_app.serving.slots import Slot, Slots
from modelstation.lm.chat import Message, load_renderer
from modelstation.lm.gguf import facts as gguf_facts
from modelstation.lm.json_schema import Schema

__all__ = ["Cancelled", "Completion", "Engine", "GenerationConfig", "Piece", "ServingError"]

WORK_SPACE_BYTES = 48 * 2**20  # buffers of a batch, the tokenizer twice
CACHED_FROM_TOKENS = 16  # a shorter prefix costs less to read than to find
OnPiece = Callable[[Piece], bool]


class Cancelled(Exception):
    """Nobody wants the answer any more."""


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
        self._prompts = PromptReader(self._renderer)
        self._server = _start(gguf, n_ctx, n_threads or default_threads(), n_parallel, exact)
        self._slots = Slots(n_parallel)
        self._known_schemas: set[str] = set()
        # llama.cpp waits for ever when it is closed before its loop has begun: one token shows
        # that it has. It also warms up, so that the first user does not wait for it.
        end = [self._renderer.eos_token_id]
        first: llama_cpp.Request = {"prompt": end, "max_tokens": 1, "cache_prompt": False}
        self._server.handle_completions(first)

    def generate(self, messages: list[Message], config: GenerationConfig) -> Completion:
        """Return the same answer every time at temperature 0, unless requests run beside it."""
        return self.run(messages, config)

    def run(
        self,
        messages: list[Message],
        config: GenerationConfig,
        on_piece: OnPiece = lambda piece: False,
    ) -> Completion:
        """Pass on each piece as it is decoded. `on_piece` returns True to stop: Cancelled is
        raised.

        The leading system messages are kept in a slot, read on their own, so that what follows is
        computed in batches of the same shape whether they were cached or not: another shape can
        tip a near tie between two tokens.
        """
        prompt = self._prompts.prompt(messages)
        repeatable = config.temperature == 0 or config.seed is not None
        prefix = self._prompts.shared_prefix(messages, prompt)
        if len(prefix) < CACHED_FROM_TOKENS or len(prompt) >= self.n_ctx:
            prefix = ()
        with self._slots.take(prefix) as slot:
            self._check_schema(config.json_schema, slot)
            if repeatable and prefix:
                self._hold(prefix, slot)
            elif slot.prefix != prefix:
                slot.prefix = ()
            is_cached = bool(prefix) or not repeatable
            request = self._request(prompt, config, slot, cache_prompt=is_cached)
            return _decode(self._server, request, config.top_logprobs, on_piece)

    def generate_many(
        self,
        conversations: Sequence[list[Message]],
        config: GenerationConfig,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        """Answers in the order of `conversations`; `on_done` receives how many are finished.

        Requests share batches and cached prefixes, which makes this several times faster than one
        by one, and lets a near tie between two tokens fall either way. What `on_done` raises stops
        the rest.
        """
        with ThreadPoolExecutor(self.n_parallel) as executor:
            futures = [executor.submit(self._complete, each, config) for each in conversations]
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
        results: queue.SimpleQueue[Piece | Completion | Exception] = queue.SimpleQueue()
        stopped = threading.Event()

        def hand_over(piece: Piece) -> bool:
            results.put(piece)
            return stopped.is_set()

        def work() -> None:
            try:
                results.put(self.run(messages, config, hand_over))
            except Exception as error:
                results.put(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        try:
            yield from _until_completed(results)
        finally:
            stopped.set()
            # An abandoned stream may be collected in any thread, that one included.
            if worker is not threading.current_thread():
                worker.join()

    def close(self) -> None:
        """Frees the model. No request may be running."""
        self._server = None

    def _complete(self, messages: list[Message], config: GenerationConfig) -> Completion:
        prompt = self._prompts.prompt(messages)
        with self._slots.take() as slot:
            slot.prefix = ()
            self._check_schema(config.json_schema, slot)
            request = self._request(prompt, config, slot, cache_prompt=True)
            reply = self._server.handle_completions(request)
        choice = first_choice(reply)
        return completion_of(reply, choice["text"], logprobs_of(choice, config.top_logprobs))

    def _hold(self, prefix: tuple[int, ...], slot: Slot) -> None:
        """Leaves exactly the prefix in the slot, whatever conversation went on from it before."""
        read: llama_cpp.Request = {"prompt": list(prefix), "max_tokens": 0, "id_slot": slot.id}
        if slot.prefix != prefix:
            slot.prefix = ()
            self._server.handle_completions({**read, "cache_prompt": False})
        # The last token is read again, alone; after it the cache is the same bits every time.
        first_choice(self._server.handle_completions({**read, "cache_prompt": True}))
        slot.prefix = prefix

    def _check_schema(self, schema: Schema | None, slot: Slot) -> None:
        """llama.cpp answers freely, with a line in its log, where it cannot follow a schema: a try
        in which ending at once is all but forced shows whether it would.
        """
        if schema is None or (key := json.dumps(schema)) in self._known_schemas:
            return
        slot.prefix = ()
        ends = self._renderer.stop_token_ids
        attempt: llama_cpp.Request = {
            "prompt": [self._renderer.eos_token_id],
            "max_tokens": 1,
            "temperature": 0,
            "grammar": grammar(schema, ends),
            "logit_bias": [[token, 1000.0] for token in ends],
            "id_slot": slot.id,
            "cache_prompt": False,
        }
        if first_choice(self._server.handle_completions(attempt))["finish_reason"] == "stop":
            raise refused("no answer fits it, or it uses what cannot be enforced here")
        self._known_schemas.add(key)

    def _request(
        self,
        prompt: list[int],
        config: GenerationConfig,
        slot: Slot,
        *,
        cache_prompt: bool,
    ) -> llama_cpp.Request:
        request: llama_cpp.Request = {
            "prompt": prompt,
            "max_tokens": config.max_new_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            # llama.cpp has its own ideas of both; temperature and top_p alone decide here.
            "top_k": 0,
            "min_p": 0.0,
            "stop": list(config.stop),
            "id_slot": slot.id,
            "cache_prompt": cache_prompt,
            "presence_penalty": config.presence_penalty,
            "frequency_penalty": config.frequency_penalty,
            "repeat_last_n": self.n_ctx,  # of all tokens, not of the last 64
            "logit_bias": _biases(prompt, config),
        }
        if config.seed is not None:
            request["seed"] = config.seed
        if config.top_logprobs is not None:
            request["logprobs"] = max(1, config.top_logprobs)
        if config.json_schema is not None:
            request["grammar"] = grammar(config.json_schema, self._renderer.stop_token_ids)
        return request


def _biases(prompt: list[int], config: GenerationConfig) -> list[list[float]]:
    """llama.cpp counts the prompt's tokens for its penalties, OpenAI only the answer's: the
    difference is given back. (A token of the prompt then never pays the presence penalty.)
    """
    biases = dict(config.logit_bias)
    if config.frequency_penalty or config.presence_penalty:
        for token, count in Counter(prompt).items():
            given_back = count * config.frequency_penalty + config.presence_penalty
            biases[token] = biases.get(token, 0.0) + given_back
    return [[token, bias] for token, bias in biases.items()]


def memory_needed(gguf: Path, *, n_ctx: int, n_parallel: int) -> int:
    """Bytes that an engine will take, before it is loaded: weights, caches, work space."""
    if not gguf.is_file():
        return 0
    cache = gguf_facts.read(gguf).cache_bytes_per_token * n_ctx * n_parallel
    return gguf.stat().st_size + cache + WORK_SPACE_BYTES


def default_threads() -> int:
    """All cores. The threads of llama.cpp wait for each other at every layer. Asleep they wait too
    long: two on two idle cores gave 41 tokens/s, where spinning gave 94. Spinning for ever is worse
    beside a training: 4, where one thread gave 40. Spinning briefly gives 93 and 33.
    """
    return max(1, len(os.sched_getaffinity(0)))


def _decode(
    server: Any, request: llama_cpp.Request, n_top: int | None, on_piece: OnPiece
) -> Completion:
    pieces: list[Piece] = []
    chunks: list[llama_cpp.Reply] = []
    failures: list[Exception] = []

    def on_chunk(chunk: llama_cpp.Reply) -> bool:
        """Return True to make llama.cpp stop decoding; what is raised here would be lost in it."""
        try:
            choice = first_choice(chunk)
            piece = Piece(choice["text"], logprobs_of(choice, n_top))
            chunks[:] = [chunk]
            if piece.text or piece.logprobs:
                pieces.append(piece)
                if on_piece(piece):
                    raise Cancelled
        except Exception as error:
            failures.append(error)
        return bool(failures)

    server.handle_completions({**request, "stream": True}, on_chunk)
    if failures:
        raise failures[0]
    text = "".join(piece.text for piece in pieces)
    return completion_of(chunks[0], text, tuple(t for piece in pieces for t in piece.logprobs))


def _until_completed(
    results: "queue.SimpleQueue[Piece | Completion | Exception]",
) -> Generator[Piece | Completion, None, None]:
    while True:
        item = results.get()
        if isinstance(item, Exception):
            raise item
        yield item
        if isinstance(item, Completion):
            return


def _start(gguf: Path, n_ctx: int, n_threads: int, n_parallel: int, exact: bool = False) -> Any:
    # Read by OpenMP when llama.cpp is loaded; see default_threads.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import xllamacpp

    if not gguf.is_file():
        raise not_there(gguf)
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx = n_ctx * n_parallel
    params.n_parallel = n_parallel
    params.cpuparams.n_threads = n_threads
    params.cpuparams_batch.n_threads = n_threads
    params.warmup = False
    params.fit_params = False
    params.verbosity = 0
    # It would keep prompts that left their slot, up to 8 GiB of them for each model.
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
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
