"""The model server: generates and embeds for the web process, on a loopback port.

Run `MODEL_SERVER_KEY=… python -m models_app.serving.server --port 8711`. Files that it is asked for
must lie under MODELSTATION_VAR or MODELSTATION_MODELS_DIR. Only the first /embed loads torch.
"""

import argparse
import hmac
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from models_app.serving.engine import Completion, Engine, GenerationConfig, Piece, ServingError
from models_app.serving.pool import EnginePool
from modelstation.lm.chat import Message

KEY_HEADER = "x-model-server-key"
STATUS = {
    "path_refused": 403,
    "model_file_missing": 404,
    "generation_failed": 500,
    "model_server_unavailable": 503,
}


@dataclass(frozen=True)
class _GenerateRequest:
    gguf: Path
    tokenizer_folder: Path
    messages: list[Message]
    config: GenerationConfig
    stream: bool


def build_app(*, key: str, roots: list[Path], pool: EnginePool) -> Starlette:
    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "engines": len(pool)})

    async def generate(request: Request) -> Response:
        asked = _read_generate(await _read_json(request), roots)
        if asked.stream:
            return StreamingResponse(_stream(pool, asked), media_type="application/x-ndjson")
        return JSONResponse(asdict(await run_in_threadpool(_generate, pool, asked)))

    async def embed(request: Request) -> Response:
        texts = (await _read_json(request)).get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ServingError("texts must be a list of strings.", code="invalid_request")
        return JSONResponse({"embeddings": await run_in_threadpool(_embed, texts)})

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/generate", generate, methods=["POST"]),
            Route("/embed", embed, methods=["POST"]),
        ],
        middleware=[Middleware(_KeyRequired, key=key)],
        exception_handlers={ServingError: _refuse},
    )


class _KeyRequired(BaseHTTPMiddleware):
    """A port on loopback is open to every user of the machine; the key is what closes it."""

    def __init__(self, app: Any, key: str) -> None:
        super().__init__(app)
        self._key = key

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        given = request.headers.get(KEY_HEADER, "")
        if hmac.compare_digest(given.encode(), self._key.encode()):
            return await call_next(request)
        return _error("The model server's key is missing or wrong.", "invalid_key", 401)


def _generate(pool: EnginePool, asked: _GenerateRequest) -> Completion:
    with pool.engine(asked.gguf, asked.tokenizer_folder) as engine:
        return engine.generate(asked.messages, asked.config)


async def _stream(pool: EnginePool, asked: _GenerateRequest) -> AsyncIterator[str]:
    lines = _stream_lines(pool, asked)
    try:
        async for line in iterate_in_threadpool(lines):
            yield line
    finally:
        lines.close()  # a caller who hung up must not keep the engine busy


def _stream_lines(pool: EnginePool, asked: _GenerateRequest) -> Generator[str, None, None]:
    try:
        with (
            pool.engine(asked.gguf, asked.tokenizer_folder) as engine,
            closing(engine.stream(asked.messages, asked.config)) as pieces,
        ):
            for piece in pieces:
                yield _line(_event(piece))
    except ServingError as error:
        yield _line({"error": {"code": error.code, "message": error.message}})


def _event(piece: Piece | Completion) -> dict[str, Any]:
    return {"piece" if isinstance(piece, Piece) else "completion": asdict(piece)}


_embedding = threading.Lock()


def _embed(texts: list[str]) -> list[list[float]]:
    # One at a time: two batches at once only fight over the same cores.
    with _embedding:
        from modelstation.lm.embedding import load_embedder

        vectors: list[list[float]] = load_embedder().embed(texts).tolist()
    return vectors


async def _read_json(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise ServingError("The body is not JSON.", code="invalid_request") from error
    if not isinstance(body, dict):
        raise ServingError("The body must be an object.", code="invalid_request")
    return body


def _read_generate(body: dict[str, Any], roots: list[Path]) -> _GenerateRequest:
    try:
        config = dict(body.get("config") or {})
        return _GenerateRequest(
            gguf=_allowed(body["gguf"], roots),
            tokenizer_folder=_allowed(body["tokenizer_folder"], roots),
            messages=[_message(message) for message in body["messages"]],
            config=_config(config),
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


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServingError)
    return _error(error.message, error.code, STATUS.get(error.code, 400))


def _error(message: str, code: str, status: int) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event) + "\n"


def _roots() -> list[Path]:
    var = Path(os.environ.get("MODELSTATION_VAR") or "var").resolve()
    models = os.environ.get("MODELSTATION_MODELS_DIR")
    return [var, Path(models).resolve()] if models else [var]


def _make_engine(gguf: Path, tokenizer_folder: Path) -> Engine:
    return Engine(gguf, tokenizer_folder, n_ctx=4096, n_parallel=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8711)
    arguments = parser.parse_args()
    key = os.environ.get("MODEL_SERVER_KEY")
    if not key:
        sys.exit("Set MODEL_SERVER_KEY to a secret that the web process knows too.")
    pool = EnginePool(make=_make_engine)
    app = build_app(key=key, roots=_roots(), pool=pool)
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    pool.close()


if __name__ == "__main__":
    main()
