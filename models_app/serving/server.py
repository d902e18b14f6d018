"""The model server: generates and embeds for the web process, on a loopback port.

Run `MODEL_SERVER_KEY=… python -m models_app.serving.server --port 8711`. Files that it is asked for
must lie under MODELSTATION_VAR or MODELSTATION_MODELS_DIR. Only the first /embed loads torch.
"""

import argparse
import asyncio
import hmac
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from models_app.serving.answering import RETRY_AFTER, Answer, Answering, Limits, Request
from models_app.serving.engine import Completion, Engine, GenerationConfig, Piece, ServingError
from models_app.serving.pool import EnginePool
from modelstation.lm.chat import Message

KEY_HEADER = b"x-model-server-key"
MAX_BODY_BYTES = 8 * 2**20
STATUS = {
    "path_refused": 403,
    "model_file_missing": 404,
    "request_too_large": 413,
    "rate_limit_exceeded": 429,
    "generation_failed": 500,
    "model_unreadable": 500,
    "model_server_unavailable": 503,
}
T = TypeVar("T")
GONE = 499  # nobody reads it: the client has left


def build_app(
    *, key: str, roots: list[Path], pool: EnginePool, limits: Limits | None = None
) -> Starlette:
    answering = Answering(pool, limits or Limits())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(answering.close)

    async def health(request: HttpRequest) -> Response:
        return JSONResponse({"status": "ok"} | answering.facts())

    async def generate(request: HttpRequest) -> Response:
        asked = _read_generate(await _read_json(request), roots)
        answer = await _unless_gone(request, answering.begin(asked))
        if answer is None:
            return Response(status_code=GONE)
        if asked.stream:
            return StreamingResponse(_lines(answer), media_type="application/x-ndjson")
        found = await _unless_gone(request, _whole(answer))
        return JSONResponse(asdict(found)) if found else Response(status_code=GONE)

    async def load(request: HttpRequest) -> Response:
        body = await _read_json(request)
        await answering.load(_read_generate({"messages": [], **body}, roots))
        return JSONResponse({"status": "loaded"})

    async def embed(request: HttpRequest) -> Response:
        texts = (await _read_json(request)).get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ServingError("texts must be a list of strings.", code="invalid_request")
        return JSONResponse({"embeddings": await run_in_threadpool(_embed, texts)})

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/generate", generate, methods=["POST"]),
            Route("/load", load, methods=["POST"]),
            Route("/embed", embed, methods=["POST"]),
        ],
        middleware=[Middleware(_KeyRequired, key=key)],
        exception_handlers={ServingError: _refuse},
        lifespan=lifespan,
    )


class _KeyRequired:
    """A port on loopback is open to every user of the machine; the key is what closes it."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app, self._key = app, key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(KEY_HEADER, b"")
        app: ASGIApp = _error("The model server's key is missing or wrong.", "invalid_key", 401)
        if scope["type"] != "http" or hmac.compare_digest(given, self._key):
            app = self._app
        await app(scope, receive, send)


async def _unless_gone(request: HttpRequest, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work returns; None, and the work is stopped, where the client leaves before."""
    working, gone = asyncio.create_task(work), asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, gone):
            task.cancel()


async def _hung_up(request: HttpRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _whole(answer: Answer) -> Completion:
    async for event in answer:
        if isinstance(event, Completion):
            return event
    raise ServingError("The model did not finish its answer.", code="generation_failed")


async def _lines(answer: Answer) -> AsyncIterator[str]:
    """A failure once the stream has begun is a line of it."""
    try:
        async for event in answer:
            kind = "piece" if isinstance(event, Piece) else "completion"
            yield json.dumps({kind: asdict(event)}) + "\n"
    except ServingError as error:
        yield json.dumps({"error": {"code": error.code, "message": error.message}}) + "\n"
    finally:
        answer.stop()


_embedding = threading.Lock()


def _embed(texts: list[str]) -> list[list[float]]:
    # One at a time: two batches at once only fight over the same cores.
    with _embedding:
        from modelstation.lm.embedding import load_embedder

        vectors: list[list[float]] = load_embedder().embed(texts).tolist()
    return vectors


async def _read_json(request: HttpRequest) -> dict[str, Any]:
    try:
        body = json.loads(await _read_body(request))
    except ValueError as error:
        raise ServingError("The body is not JSON.", code="invalid_request") from error
    if not isinstance(body, dict):
        raise ServingError("The body must be an object.", code="invalid_request")
    return body


async def _read_body(request: HttpRequest) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ServingError(
                f"The request is larger than {MAX_BODY_BYTES >> 20} MB.", code="request_too_large"
            )
    return bytes(body)


def _read_generate(body: dict[str, Any], roots: list[Path]) -> Request:
    try:
        config = dict(body.get("config") or {})
        return Request(
            gguf=_allowed(body["gguf"], roots),
            tokenizer_folder=_allowed(body["tokenizer_folder"], roots),
            messages=[_message(message) for message in body["messages"]],
            config=_config(config),
            owner=str(body.get("owner") or ""),
            stream=bool(body.get("stream")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ServingError(
            f"The request cannot be read: {error!r}.", code="invalid_request"
        ) from error


def _config(given: dict[str, Any]) -> GenerationConfig:
    """JSON has no tuples, and no keys that are numbers."""
    bias = {int(token): float(value) for token, value in given.get("logit_bias", {}).items()}
    return GenerationConfig(**{**given, "stop": tuple(given.get("stop", ())), "logit_bias": bias})


def _message(given: dict[str, Any]) -> Message:
    role, content = given["role"], given["content"]
    if not isinstance(role, str) or not isinstance(content, str):
        raise TypeError("role and content must be strings")
    return {"role": role, "content": content}


def _allowed(path: str, roots: list[Path]) -> Path:
    """The resolved path, so that neither ".." nor a link leads out of the roots."""
    resolved = Path(path).resolve()
    if not any(resolved.is_relative_to(root) for root in roots):
        raise ServingError(f"{path} does not lie among the models.", code="path_refused")
    return resolved


async def _refuse(request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, ServingError)
    return _error(error.message, error.code, STATUS.get(error.code, 400))


def _error(message: str, code: str, status: int) -> Response:
    body = {"error": {"code": code, "message": message}}
    headers = {"retry-after": RETRY_AFTER} if status in (429, 503) else None
    return JSONResponse(body, status_code=status, headers=headers)


def _roots() -> list[Path]:
    var = Path(os.environ.get("MODELSTATION_VAR") or "var").resolve()
    models = os.environ.get("MODELSTATION_MODELS_DIR")
    return [var, Path(models).resolve()] if models else [var]


def _whole_number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8711)
    arguments = parser.parse_args()
    key = os.environ.get("MODEL_SERVER_KEY")
    if not key:
        sys.exit("Set MODEL_SERVER_KEY to a secret that the web process knows too.")
    limits = Limits(
        n_ctx=_whole_number("MODEL_SERVER_CONTEXT", 4096),
        n_parallel=_whole_number("MODEL_SERVER_PARALLEL", 4),
        max_waiting=_whole_number("MODEL_SERVER_QUEUE", 64),
    )
    pool = EnginePool(
        max_engines=_whole_number("MODEL_SERVER_MODELS", 8),
        max_bytes=_whole_number("MODEL_SERVER_MB", 4096) << 20,
        make=lambda gguf, folder: Engine(
            gguf, folder, n_ctx=limits.n_ctx, n_parallel=limits.n_parallel
        ),
    )
    app = build_app(key=key, roots=_roots(), pool=pool, limits=limits)
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
