"""The model server: generates for the web process, on a loopback port. No Django, no torch.

Run `MODEL_SERVER_KEY=… python -m models_app.serving.server --port 8711`. The files of a request
must lie under MODELSTATION_VAR or MODELSTATION_MODELS_DIR.
"""

import argparse
import asyncio
import hmac
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models_app.serving.admission import Limits, Ticket
from models_app.serving.encoder.engine import EncoderEngine, is_encoder
from models_app.serving.engine import Engine, Piece, memory_needed
from models_app.serving.errors import ServingError, busy
from models_app.serving.pool import AnyEngine, EnginePool
from models_app.serving.scheduler import Scheduler
from models_app.serving.wire import Event, Failure, GenerateRequest, dump, parse_request

KEY_HEADER = "x-model-server-key"
CLIENT_GONE = 499  # as nginx has it: nobody is there to read it
STATUS = {
    "invalid_key": 401,
    "path_refused": 403,
    "model_file_missing": 404,
    "too_large": 413,
    "server_busy": 429,
    "rate_limit_exceeded": 429,
    "generation_failed": 500,
    "model_unreadable": 500,
    "model_server_unavailable": 503,
    "deadline_exceeded": 504,
}


@dataclass(frozen=True)
class Settings:
    """One place for what an operator may choose; each is an environment variable of main()."""

    n_ctx: int = 4096
    max_body_bytes: int = 4 * 2**20
    deadline_s: float = 300
    limits: Limits = field(default_factory=Limits)


def build_app(
    *, key: str, roots: list[Path], pool: EnginePool, settings: Settings | None = None
) -> Starlette:
    settings = settings or Settings()
    scheduler = Scheduler(pool, settings.limits, settings.n_ctx)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", **scheduler.facts()})

    async def generate(request: Request) -> Response:
        wanted = parse_request(await request.body()).within(roots)
        deadline_s = min(wanted.deadline_s or settings.deadline_s, settings.deadline_s)
        answer = _answer(scheduler, replace(wanted, deadline_s=deadline_s), deadline_s)
        return await _while_listened_to(request, answer)

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/metrics", health),
            Route("/generate", generate, methods=["POST"]),
        ],
        middleware=[Middleware(_Door, key=key, max_body_bytes=settings.max_body_bytes)],
        exception_handlers={ServingError: _refuse},
    )
    app.state.scheduler = scheduler
    return app


class _Door:
    """A port on loopback is open to every user of the machine; the key is what closes it. A body
    beyond the limit is refused while it comes.
    """

    def __init__(self, app: ASGIApp, key: str, max_body_bytes: int) -> None:
        self._app = app
        self._key = key.encode()
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not hmac.compare_digest(headers.get(KEY_HEADER.encode(), b""), self._key):
            message = "The model server's key is missing or wrong."
            await _refusal(ServingError(message, code="invalid_key"))(scope, receive, send)
        elif length.isdigit() and int(length) > self._max_body_bytes:
            await _refusal(self._too_large())(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._max_body_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> ServingError:
        most = f"{self._max_body_bytes / 2**20:g} MB"
        return ServingError(f"The request is larger than {most}.", code="too_large")


async def _answer(scheduler: Scheduler, wanted: GenerateRequest, deadline_s: float) -> Response:
    async with asyncio.timeout(deadline_s):
        ticket = await scheduler.admit(wanted)
    if wanted.stream:
        return _Stream(scheduler, wanted, ticket)
    return _json(await scheduler.answer(wanted, ticket))


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(dump(value), status, headers, "application/json")


async def _while_listened_to(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """Do the work, cancelled in the queue or at its next token, when the caller has gone."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else Response(status_code=CLIENT_GONE)
    except TimeoutError as error:
        raise busy("No slot came free in time. Try again shortly.") from error
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Stream(StreamingResponse):
    """Lines of JSON. However the response ends, begun or not, the engine is stopped."""

    def __init__(self, scheduler: Scheduler, wanted: GenerateRequest, ticket: Ticket) -> None:
        self._pieces = scheduler.results(wanted, ticket)
        self._admission, self._ticket = scheduler.admission, ticket
        self._has_begun = False
        super().__init__(self._lines(), media_type="application/x-ndjson")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._has_begun:
                await self._pieces.aclose()
            else:
                self._admission.leave(self._ticket)

    async def _lines(self) -> AsyncIterator[bytes]:
        self._has_begun = True
        try:
            async for piece in self._pieces:
                if isinstance(piece, Piece):
                    yield dump(Event(piece=piece)) + b"\n"
                else:
                    yield dump(Event(completion=piece)) + b"\n"
        except ServingError as error:
            yield dump(_failure(error)) + b"\n"


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServingError)
    return _refusal(error)


def _refusal(error: ServingError) -> Response:
    wait = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return _json(_failure(error), STATUS.get(error.code, 400), wait)


def _failure(error: ServingError) -> Event:
    return Event(error=Failure(error.code, error.message, error.retry_after))


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


def _settings() -> Settings:
    return Settings(
        n_ctx=_number("MODEL_SERVER_CONTEXT", 4096),
        deadline_s=_number("MODEL_SERVER_DEADLINE_SECONDS", 300),
        limits=Limits(
            model_slots=_number("MODEL_SERVER_PARALLEL", 4),
            total_slots=_number("MODEL_SERVER_TOTAL_PARALLEL", 16),
            model_queue=_number("MODEL_SERVER_QUEUE", 64),
        ),
    )


def _needed(model_file: Path, settings: Settings) -> int:
    if is_encoder(model_file):
        return model_file.stat().st_size if model_file.is_file() else 0
    return memory_needed(model_file, n_ctx=settings.n_ctx, n_parallel=settings.limits.model_slots)


def _make(model_file: Path, tokenizer_folder: Path, settings: Settings) -> AnyEngine:
    if is_encoder(model_file):
        return EncoderEngine(model_file)
    n_ctx, n_parallel = settings.n_ctx, settings.limits.model_slots
    return Engine(model_file, tokenizer_folder, n_ctx=n_ctx, n_parallel=n_parallel)


def _pool(settings: Settings) -> EnginePool:
    half_of_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return EnginePool(
        max_bytes=_number("MODEL_SERVER_MB", half_of_memory // 2**20) * 2**20,
        make=lambda model_file, folder: _make(model_file, folder, settings),
        needed=lambda model_file: _needed(model_file, settings),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8711)
    arguments = parser.parse_args()
    key = os.environ.get("MODEL_SERVER_KEY")
    if not key:
        sys.exit("Set MODEL_SERVER_KEY to a secret that the web process knows too.")
    settings = _settings()
    folders = [
        os.environ.get("MODELSTATION_VAR") or "var",
        os.environ.get("MODELSTATION_MODELS_DIR"),
    ]
    roots = [Path(folder).resolve() for folder in folders if folder]
    app = build_app(key=key, roots=roots, pool=_pool(settings), settings=settings)
    # At SIGTERM nothing new is taken, and what is being answered has this long to end.
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        timeout_graceful_shutdown=_number("MODEL_SERVER_DRAIN_SECONDS", 20),
    )
    app.state.scheduler.close()


if __name__ == "__main__":
    main()
