"""The web process's way to the model server; nothing of torch or llama.cpp is loaded here."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3
from django.conf import settings
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as ServerTimeout

from models_app.serving.answers import Completion, GenerationConfig, Piece
from models_app.serving.errors import ServingError
from models_app.serving.wire import Event, Failure, GenerateRequest, dump, parse
from modelstation.core.errors import Unavailable, UserFacingError
from modelstation.lm.chat import Message
from modelstation.lm.encoder.head import HEAD_FILE

if TYPE_CHECKING:
    from models_app.serving.vllm.engine import Vllm, VllmModel

__all__ = ["Completion", "GenerationConfig", "Piece", "generate", "health", "stream"]

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
    """`retry_after`: seconds after which another try may help; None when it will not."""

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
    """`owner` is the organisation whose request it is, by its id: the server is fair among them."""
    wanted = GenerateRequest(gguf, tokenizer_folder, messages, config or GenerationConfig(), owner)
    if _is_vllms(gguf):
        with _refusals_raised():
            return _vllm().generate(_vllm_model(gguf), wanted)
    with _failures_explained():
        reply = _open(wanted)
        if reply.status != OK and (failure := parse(Event, reply.data).error):
            raise _refusal(failure)
        return parse(Completion, reply.data)


def stream(
    gguf: Path,
    tokenizer_folder: Path,
    messages: list[Message],
    config: GenerationConfig | None = None,
    *,
    owner: str = "",
) -> Iterator[Piece | Completion]:
    """Pieces of text as they come, then the Completion."""
    config = config or GenerationConfig()
    wanted = GenerateRequest(gguf, tokenizer_folder, messages, config, owner, stream=True)
    if _is_vllms(gguf):
        with _refusals_raised():
            yield from _vllm().stream(_vllm_model(gguf), wanted)
        return
    with _failures_explained(), closing(_open(wanted, preload=False)) as reply:
        for event in _events(reply):
            if event.error:
                raise _refusal(event.error)
            if event.completion:
                yield event.completion
                return
            if event.piece:
                yield event.piece
        raise ProtocolError("the stream ended before the answer")


def _events(reply: urllib3.BaseHTTPResponse) -> Iterator[Event]:
    lines = reply if reply.status == OK else [reply.read()]
    return (parse(Event, line) for line in lines)


@cache
def _vllm() -> "Vllm":
    from models_app.serving.vllm.engine import Vllm  # the openai package, which few need

    return Vllm(
        settings.VLLM_URL,
        settings.VLLM_KEY,
        secret=settings.SECRET_KEY,
        max_adapters=settings.VLLM_MAX_ADAPTERS,
    )


def _is_vllms(model_file: Path) -> bool:
    """The head of an encoder is always the model server's."""
    return bool(settings.VLLM_URL) and model_file.name != HEAD_FILE


def _vllm_model(gguf: Path) -> "VllmModel":
    # Here, because rows are needed: an importer of the client need not have models ready.
    from models_app.serving.vllm.models import vllm_model

    return vllm_model(gguf)


@contextmanager
def _refusals_raised() -> Iterator[None]:
    try:
        yield
    except ServingError as error:
        raise Refused(error.message, code=error.code, retry_after=error.retry_after) from error


def _open(request: GenerateRequest, *, preload: bool = True) -> urllib3.BaseHTTPResponse:
    headers, body = {**_headers(), "content-type": "application/json"}, dump(request)
    url = _url("/generate")
    return _http().request("POST", url, body=body, headers=headers, preload_content=preload)


@contextmanager
def _failures_explained() -> Iterator[None]:
    try:
        yield
    except (NewConnectionError, ConnectTimeoutError) as error:
        hint = "It may be starting; else an operator can start it: the Procfile's `models`."
        raise _unavailable("The model server is not running.", hint) from error
    except ServerTimeout as error:
        hint = "Ask for fewer tokens, or try again when less is running."
        raise _unavailable("The model server took too long to answer.", hint) from error
    except (HTTPError, ValueError) as error:
        hint = "It starts again by itself: ask once more in a few seconds."
        raise _unavailable("The model server stopped while it answered.", hint) from error


def _unavailable(message: str, hint: str) -> Unavailable:
    return Unavailable(message, code="model_server_unavailable", hint=hint)


def _refusal(failure: Failure) -> Refused:
    return Refused(failure.message, code=failure.code, retry_after=failure.retry_after)


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
