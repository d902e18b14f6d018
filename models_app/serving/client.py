"""The web process's way to the model server; nothing of torch or llama.cpp is loaded here."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import urllib3
from django.conf import settings
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as ServerTimeout

from models_app.serving.engine import Completion, GenerationConfig, Piece, TokenLogprob
from models_app.serving.errors import ServingError
from models_app.serving.vllm.engine import Adapter, Vllm
from modelstation.core.errors import Unavailable, UserFacingError
from modelstation.lm.chat import Message

__all__ = [
    "Completion",
    "GenerationConfig",
    "Piece",
    "TokenLogprob",
    "embed",
    "generate",
    "health",
    "load",
    "stream",
]

OK = 200
# What a refusal of the model server is to those who called the API.
STATUS = {
    "model_not_found": 404,
    "too_large": 413,
    "rate_limit_exceeded": 429,
    "server_busy": 429,
    "generation_failed": 500,
    "model_unreadable": 500,
    "path_refused": 500,
    "invalid_key": 503,
    "model_server_unavailable": 503,
    "overloaded": 503,
    "deadline_exceeded": 504,
}
MOST_KEPT_OPEN = 32  # connections
# Longer than the server's own deadline; a server that does not even connect is down.
TIMEOUT = urllib3.Timeout(connect=2, read=330)


class Refused(UserFacingError):
    """`retry_after`: seconds after which asking again may help; None when it will not."""

    def __init__(self, message: str, *, code: str, retry_after: int | None) -> None:
        super().__init__(message, code=code)
        self.status = STATUS.get(code, self.status)
        self.retry_after = retry_after


def health() -> bool:
    if settings.VLLM_URL:
        return _vllm().is_up()
    try:
        reply = _http().request("GET", _url("/health"), headers=_headers(), timeout=2)
    except HTTPError:
        return False
    return reply.status == OK


def generate(
    gguf: Path,
    tokenizer_folder: Path,
    messages: list[Message],
    config: GenerationConfig | None = None,
    *,
    owner: str = "",
) -> Completion:
    """`owner` is who asks, an organisation's id: the server is fair among them."""
    if settings.VLLM_URL:
        with _refusals_told():
            asked = _vllm_question(gguf, tokenizer_folder, messages, config)
            return _vllm().generate(*asked, owner=owner)
    body = _generate_body(gguf, tokenizer_folder, messages, config, owner, stream=False)
    return _completion(_post("/generate", body))


def stream(
    gguf: Path,
    tokenizer_folder: Path,
    messages: list[Message],
    config: GenerationConfig | None = None,
    *,
    owner: str = "",
) -> Iterator[Piece | Completion]:
    """Pieces of text as they come, then the Completion."""
    if settings.VLLM_URL:
        with _refusals_told():
            asked = _vllm_question(gguf, tokenizer_folder, messages, config)
            yield from _vllm().stream(*asked, owner=owner)
        return
    body = _generate_body(gguf, tokenizer_folder, messages, config, owner, stream=True)
    with _failures_explained(), closing(_ask("/generate", body, preload_content=False)) as reply:
        if reply.status != OK:
            raise _refusal(reply.json())
        for line in reply:
            event = json.loads(line)
            if "error" in event:
                raise _refusal(event)
            if "completion" in event:
                yield _completion(event["completion"])
                return
            yield _piece(event["piece"])
        raise ProtocolError("the stream ended before the answer")


def load(gguf: Path, tokenizer_folder: Path) -> None:
    """Warm-up: the next request for this model need not wait for it to be loaded."""
    _post("/load", {"gguf": str(gguf), "tokenizer_folder": str(tokenizer_folder)})


def embed(texts: Sequence[str]) -> list[list[float]]:
    vectors: list[list[float]] = _post("/embed", {"texts": list(texts)})["embeddings"]
    return vectors


@cache
def _vllm() -> Vllm:
    return Vllm(
        settings.VLLM_URL,
        settings.VLLM_KEY,
        secret=settings.SECRET_KEY,
        max_adapters=settings.VLLM_MAX_ADAPTERS,
    )


def _vllm_question(
    gguf: Path,
    tokenizer_folder: Path,
    messages: list[Message],
    config: GenerationConfig | None,
) -> tuple[str, Adapter | None, Path, list[Message], GenerationConfig]:
    # Here, because rows are needed: whoever imports the client need not have models ready.
    from models_app.serving.vllm.models import vllm_model

    model = vllm_model(gguf)
    return model.base, model.adapter, tokenizer_folder, messages, config or GenerationConfig()


@contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        yield
    except ServingError as error:
        raise Refused(error.message, code=error.code, retry_after=error.retry_after) from error


def _completion(found: dict[str, Any]) -> Completion:
    return Completion(**{**found, "logprobs": _logprobs(found.get("logprobs", ()))})


def _piece(found: dict[str, Any]) -> Piece:
    return Piece(found["text"], _logprobs(found.get("logprobs", ())))


def _logprobs(found: Sequence[dict[str, Any]]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(each["token"], each["logprob"], tuple(each["bytes"]), _logprobs(each["top"]))
        for each in found
    )


def _generate_body(
    gguf: Path,
    tokenizer_folder: Path,
    messages: list[Message],
    config: GenerationConfig | None,
    owner: str,
    *,
    stream: bool,
) -> dict[str, Any]:
    return {
        "gguf": str(gguf),
        "tokenizer_folder": str(tokenizer_folder),
        "messages": messages,
        "config": vars(config or GenerationConfig()),
        "owner": owner,
        "stream": stream,
    }


def _post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    with _failures_explained():
        reply = _ask(path, body)
        content: dict[str, Any] = reply.json()
    if reply.status != OK:
        raise _refusal(content)
    return content


def _ask(path: str, body: dict[str, Any], **options: Any) -> urllib3.BaseHTTPResponse:
    return _http().request("POST", _url(path), json=body, headers=_headers(), **options)


@contextmanager
def _failures_explained() -> Iterator[None]:
    try:
        yield
    except (NewConnectionError, ConnectTimeoutError) as error:
        raise Unavailable(
            "The model server is not running.",
            code="model_server_unavailable",
            hint="It may be starting; else an operator can start it: the Procfile's `models`.",
        ) from error
    except ServerTimeout as error:
        raise Unavailable(
            "The model server took too long to answer.",
            code="model_server_unavailable",
            hint="Ask for fewer tokens, or try again when less is running.",
        ) from error
    except (HTTPError, ValueError) as error:
        raise Unavailable(
            "The model server stopped while it answered.",
            code="model_server_unavailable",
            hint="It starts again by itself: ask once more in a few seconds.",
        ) from error


def _refusal(content: dict[str, Any]) -> UserFacingError:
    error = content["error"]
    return Refused(error["message"], code=error["code"], retry_after=error.get("retry_after"))


@cache
def _http() -> urllib3.PoolManager:
    """One per process, for its open connections. It asks once, an answer may have been begun; and
    through no proxy, the server is a neighbour.
    """
    return urllib3.PoolManager(maxsize=MOST_KEPT_OPEN, timeout=TIMEOUT, retries=False)


def _url(path: str) -> str:
    return f"{settings.MODEL_SERVER_URL.rstrip('/')}{path}"


def _headers() -> dict[str, str]:
    return {"x-model-server-key": settings.MODEL_SERVER_KEY}
