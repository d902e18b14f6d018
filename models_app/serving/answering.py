"""One request on its way through the model server: a turn in the queue, a loaded model, an answer.

Everything here runs on the server's event loop, except `_work`, which decodes in a thread. That
thread alone gives back the turn and the model, when llama.cpp has really stopped.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from models_app.serving.engine import (
    Completion,
    GenerationConfig,
    Piece,
    ServingError,
    refuse_too_long,
    render,
    usable_schema,
)
from models_app.serving.fairness import FairQueue
from models_app.serving.pool import EnginePool
from modelstation.lm.chat import ChatRenderer, Message, load_renderer

Event = Piece | Completion | Exception
RENDERERS_KEPT = 64
RETRY_AFTER = "2"  # seconds


@dataclass(frozen=True)
class Request:
    gguf: Path
    tokenizer_folder: Path
    messages: list[Message]
    config: GenerationConfig
    owner: str
    stream: bool


@dataclass(frozen=True)
class Limits:
    n_ctx: int = 4096
    n_parallel: int = 4  # conversations a model decodes at a time
    max_waiting: int = 64  # requests in a model's queue
    seconds: float = 300  # an answer may take, its wait included


class Answering:
    """The models' queues, and the threads that decode."""

    def __init__(self, pool: EnginePool, limits: Limits) -> None:
        self.pool, self.limits = pool, limits
        self._queues: dict[Path, FairQueue] = {}
        self._threads = ThreadPoolExecutor(256, thread_name_prefix="decode")

    async def begin(self, asked: Request) -> "Answer":
        """Waits for a turn; what it returns yields the answer."""
        prompt = await asyncio.to_thread(self._prompt, asked)
        queue = self._queues.setdefault(
            asked.gguf, FairQueue(self.limits.n_parallel, self.limits.max_waiting)
        )
        deadline = time.monotonic() + self.limits.seconds
        try:
            async with asyncio.timeout(self.limits.seconds):
                leave = await queue.enter(asked.owner)
        except TimeoutError as error:
            raise _took_too_long() from error
        finally:
            self._forget_idle()
        answer, loop = Answer(), asyncio.get_running_loop()
        hear, stopped = answer.heard.put_nowait, answer.stopped

        def work() -> None:
            try:
                self._work(
                    asked,
                    prompt,
                    lambda event: loop.call_soon_threadsafe(hear, event),
                    lambda: stopped.is_set() or time.monotonic() > deadline,
                )
            finally:
                loop.call_soon_threadsafe(leave)

        self._threads.submit(work)
        return answer

    async def load(self, asked: Request) -> None:
        """Have the model ready before anybody asks it."""
        await asyncio.to_thread(self._load, asked)

    def facts(self) -> dict[str, Any]:
        queues = self._queues.items()
        return self.pool.facts() | {
            "running": sum(queue.running for _, queue in queues),
            "waiting": sum(queue.waiting for _, queue in queues),
            "queues": {
                str(gguf): {"running": queue.running, "waiting": queue.waiting}
                for gguf, queue in queues
            },
        }

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self.pool.close()

    def _prompt(self, asked: Request) -> list[int]:
        """All that can be refused without the model is refused before the queue."""
        if not asked.gguf.is_file():
            raise ServingError(
                f"The model file {asked.gguf.name} does not exist.", code="model_file_missing"
            )
        if asked.config.json_schema is not None:
            usable_schema(asked.config.json_schema)
        prompt = render(_renderer_in(asked.tokenizer_folder), asked.messages)
        refuse_too_long(len(prompt), self.limits.n_ctx)
        return prompt

    def _load(self, asked: Request) -> None:
        with self.pool.engine(asked.gguf, asked.tokenizer_folder):
            _renderer_in(asked.tokenizer_folder)

    def _work(
        self,
        asked: Request,
        prompt: list[int],
        tell: Callable[[Event | None], Any],
        is_over: Callable[[], bool],
    ) -> None:
        def hand_over(piece: Piece) -> bool:
            tell(piece)
            return is_over()

        try:
            if is_over():
                return
            with self.pool.engine(asked.gguf, asked.tokenizer_folder) as engine:
                completion = engine.decode(prompt, asked.config, hand_over)
            tell(completion or _took_too_long())
        except Exception as error:
            tell(error)
        finally:
            tell(None)

    def _forget_idle(self) -> None:
        """A model that nobody asks has no queue."""
        idle = [
            gguf for gguf, queue in self._queues.items() if not (queue.running or queue.waiting)
        ]
        for gguf in idle:
            del self._queues[gguf]


class Answer:
    """Pieces as they are decoded, then the Completion. Stopped, or no longer held by anybody,
    it stops the decoding too.
    """

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Event | None] = asyncio.Queue()
        self.stopped = threading.Event()

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> Piece | Completion:
        event = await self.heard.get()
        if event is None:
            raise StopAsyncIteration
        if isinstance(event, Exception):
            raise event
        return event

    def stop(self) -> None:
        self.stopped.set()

    __del__ = stop


def _took_too_long() -> ServingError:
    return ServingError(
        "The model took too long to answer. Ask for fewer tokens, or try again when less is "
        "running.",
        code="model_server_unavailable",
    )


def _renderer_in(folder: Path) -> ChatRenderer:
    file = folder / "tokenizer.json"
    return _renderer(folder, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(RENDERERS_KEPT)
def _renderer(folder: Path, stamp: int) -> ChatRenderer:
    try:
        return load_renderer(folder)
    except ValueError as error:
        raise ServingError(str(error), code="model_unreadable") from error
