"""Between the server's event loop and the engines' threads: admission, cancelling, deadlines.

A request that waits holds no thread; one whose caller has gone stops at its next token. No Django.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from models_app.serving.admission import Admission, Limits, Ticket
from models_app.serving.encoder.engine import is_encoder
from models_app.serving.engine import Cancelled, Completion, Piece
from models_app.serving.errors import ServingError, not_there, too_late, too_long
from models_app.serving.pool import EnginePool
from models_app.serving.prompts import PromptReader
from models_app.serving.wire import GenerateRequest
from modelstation.lm.chat import load_renderer
from modelstation.lm.gguf import facts as gguf_facts

Result = Piece | Completion | Exception


class Scheduler:
    """One for each server."""

    def __init__(self, pool: EnginePool, limits: Limits, n_ctx: int) -> None:
        self.pool = pool
        self.admission = Admission(limits)
        self._n_ctx = n_ctx
        self._threads = ThreadPoolExecutor(limits.total_slots, "engine")
        # Rendering: never behind answers.
        self._side_threads = ThreadPoolExecutor(4, "side")
        self._readers = lru_cache(64)(_prompt_reader)
        self._began = time.monotonic()
        self.counts = {"answered": 0, "cancelled": 0, "failed": 0, "prompt_tokens": 0, "tokens": 0}

    async def admit(self, request: GenerateRequest) -> Ticket:
        """Refuses what can never be answered before it waits; then waits for a slot."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._side_threads, self._check, request)
        return await self.admission.enter(str(request.gguf), request.owner)

    async def answer(self, request: GenerateRequest, ticket: Ticket) -> Completion:
        async for result in self.results(request, ticket, only_last=True):
            if isinstance(result, Completion):
                return result
        raise AssertionError("an engine neither answered nor failed")

    def facts(self) -> dict[str, Any]:
        return {
            "uptime_seconds": round(time.monotonic() - self._began, 1),
            "engines": len(self.pool),
            "models": self.pool.facts(),
            "bytes": self.pool.bytes(),
            "max_bytes": self.pool.max_bytes,
            "queue": self.admission.facts(),
            "counts": dict(self.counts),
        }

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._side_threads.shutdown(cancel_futures=True)
        self.pool.close()

    def _check(self, request: GenerateRequest) -> None:
        gguf, folder = request.gguf, request.tokenizer_folder
        if not gguf.is_file():
            raise not_there(gguf)
        if is_encoder(gguf):
            return  # it reads the beginning of a text of any length
        tokenizer = folder / "tokenizer.json"
        changed = tokenizer.stat().st_mtime_ns if tokenizer.is_file() else 0
        count = len(self._readers(folder, changed).prompt(request.messages))
        most = min(self._n_ctx, gguf_facts.read(gguf).context_length or self._n_ctx)
        if count >= most:
            raise too_long(count, most)

    async def results(
        self, request: GenerateRequest, ticket: Ticket, *, only_last: bool = False
    ) -> AsyncGenerator[Piece | Completion, None]:
        """Yield pieces, then the completion. Leaving it early, by whatever way, stops the engine;
        the slot is free once it stopped.
        """
        loop = asyncio.get_running_loop()
        results: asyncio.Queue[Result] = asyncio.Queue()
        stopped = threading.Event()

        def hand_over(item: Result) -> None:
            loop.call_soon_threadsafe(results.put_nowait, item)

        def on_piece(piece: Piece) -> bool:
            if not only_last:
                hand_over(piece)
            return stopped.is_set()

        work = loop.run_in_executor(
            self._threads, self._work, request, stopped, on_piece, hand_over
        )
        work.add_done_callback(lambda _: self.admission.leave(ticket))
        try:
            async with asyncio.timeout(request.deadline_s):
                while True:
                    item = await results.get()
                    if isinstance(item, Exception):
                        raise item
                    yield item
                    if isinstance(item, Completion):
                        return
        except TimeoutError as error:
            raise too_late(request.deadline_s) from error
        finally:
            stopped.set()

    def _work(
        self,
        request: GenerateRequest,
        stopped: threading.Event,
        on_piece: Callable[[Piece], bool],
        hand_over: Callable[[Result], None],
    ) -> None:
        """In a thread. Every way out hands something over: a caller who waits must not hang."""
        try:
            with self.pool.engine(request.gguf, request.tokenizer_folder) as engine:
                if stopped.is_set():
                    raise Cancelled
                completion = engine.run(request.messages, request.config, on_piece)
            self.counts["answered"] += 1
            self.counts["prompt_tokens"] += completion.prompt_tokens
            self.counts["tokens"] += completion.completion_tokens
            hand_over(completion)
        except Exception as error:
            self.counts["cancelled" if isinstance(error, Cancelled) else "failed"] += 1
            hand_over(error)


def _prompt_reader(folder: Path, changed_ns: int) -> PromptReader:
    try:
        return PromptReader(load_renderer(folder))
    except ValueError as error:
        raise ServingError(str(error), code="model_file_missing") from error
