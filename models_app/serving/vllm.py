"""A vLLM server on GPUs behind the same two verbs as our own: generate and stream. No Django.

vLLM serves one base (its --served-model-name is the base's name) and our adapters on top of it,
which are loaded while it runs (--enable-lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING=true, and the
artifacts at the same paths). Prompts are sent as token ids of our own renderer.
"""

import hashlib
import hmac
import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from models_app.serving.engine import Completion, GenerationConfig, Piece, TokenLogprob
from models_app.serving.errors import ServingError
from models_app.serving.json_schemas import enforceable
from models_app.serving.prompts import PromptReader
from modelstation.lm.chat import ChatRenderer, Message, load_renderer

TIMEOUT = httpx.Timeout(330, connect=2)
BUSY_RETRY_S = 5


@dataclass(frozen=True)
class Adapter:
    """Of one version row: the ids come from it, never from a request."""

    org_id: str
    version_id: str
    folder: Path


class Vllm:
    """Thread-safe. Knows which adapters it loaded, and unloads the least recently used."""

    def __init__(self, url: str, key: str, *, secret: str, max_adapters: int = 32) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT, trust_env=False
        )
        self._secret = secret.encode()
        self._max_adapters = max_adapters
        self._loaded: OrderedDict[str, None] = OrderedDict()
        self._in_use: Counter[str] = Counter()
        self._lock = threading.Lock()

    def generate(
        self,
        base: str,
        adapter: Adapter | None,
        tokenizer_folder: Path,
        messages: list[Message],
        config: GenerationConfig,
        *,
        owner: str,
    ) -> Completion:
        body = _body(tokenizer_folder, messages, config) | self._salt(owner)
        with self._served_as(base, adapter, owner) as name:
            reply = self._asked(name, adapter, body)
            with closing(reply):
                told = _read(reply)
        choice = told["choices"][0]
        return _completion(
            choice["text"], choice["finish_reason"], told["usage"], _logprobs(choice, config)
        )

    def stream(
        self,
        base: str,
        adapter: Adapter | None,
        tokenizer_folder: Path,
        messages: list[Message],
        config: GenerationConfig,
        *,
        owner: str,
    ) -> Iterator[Piece | Completion]:
        """Closing it closes the connection, at which vLLM stops."""
        body = _body(tokenizer_folder, messages, config) | self._salt(owner)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        with self._served_as(base, adapter, owner) as name:
            reply = self._asked(name, adapter, body)
            with closing(reply), _failures_explained():
                yield from _pieces(reply, config)

    def adapter_name(self, adapter: Adapter) -> str:
        """What vLLM knows it by: nobody who lacks our secret can guess another tenant's."""
        identity = f"{adapter.org_id}:{adapter.version_id}".encode()
        return f"lora-{hmac.new(self._secret, identity, hashlib.sha256).hexdigest()[:40]}"

    def _salt(self, owner: str) -> dict[str, str]:
        """No prompt cached for one organisation speeds, and so betrays itself to, another."""
        return {"cache_salt": hmac.new(self._secret, owner.encode(), hashlib.sha256).hexdigest()}

    @contextmanager
    def _served_as(self, base: str, adapter: Adapter | None, owner: str) -> Iterator[str]:
        """The name to ask for; an adapter is loaded, and stays so for the block."""
        if adapter is None:
            yield base
            return
        if not owner or owner != adapter.org_id:
            raise ServingError("There is no such model.", code="model_not_found")
        name = self.adapter_name(adapter)
        with self._lock:
            self._in_use[name] += 1
        try:
            self._load(name, adapter)
            yield name
        finally:
            with self._lock:
                self._in_use[name] -= 1

    def _load(self, name: str, adapter: Adapter) -> None:
        # Under the lock: two requests for one adapter load it once, and loading takes milliseconds.
        with self._lock:
            if name in self._loaded:
                self._loaded.move_to_end(name)
                return
            self._make_room()
            self._post_adapter("load", lora_name=name, lora_path=str(adapter.folder))
            self._loaded[name] = None

    def _make_room(self) -> None:
        for name in list(self._loaded):
            if len(self._loaded) < self._max_adapters:
                return
            if not self._in_use[name]:
                self._post_adapter("unload", lora_name=name)
                del self._loaded[name]
        if len(self._loaded) >= self._max_adapters:
            raise ServingError(
                "All loaded adapters are busy. Try again shortly.",
                code="server_busy",
                retry_after=BUSY_RETRY_S,
            )

    def _post_adapter(self, verb: str, **body: str) -> None:
        with _failures_explained():
            reply = self._http.post(f"/v1/{verb}_lora_adapter", json=body)
        is_there_already = verb == "load" and "already" in reply.text
        is_gone_already = verb == "unload" and reply.status_code in (400, 404)
        if not (reply.is_success or is_there_already or is_gone_already):
            raise _refusal(reply.status_code, reply.headers, _error_of(reply))

    def _asked(self, name: str, adapter: Adapter | None, body: dict[str, Any]) -> httpx.Response:
        """An open reply. An adapter that vLLM forgot, by a restart, is loaded once more."""
        reply = self._send(name, body)
        if reply.status_code == httpx.codes.NOT_FOUND and adapter is not None:
            reply.close()
            with self._lock:
                self._loaded.pop(name, None)
            self._load(name, adapter)
            reply = self._send(name, body)
        if reply.is_success:
            return reply
        with closing(reply):
            reply.read()
        raise _refusal(reply.status_code, reply.headers, _error_of(reply))

    def _send(self, name: str, body: dict[str, Any]) -> httpx.Response:
        request = self._http.build_request("POST", "/v1/completions", json={"model": name, **body})
        with _failures_explained():
            return self._http.send(request, stream=True)


def _body(
    tokenizer_folder: Path, messages: list[Message], config: GenerationConfig
) -> dict[str, Any]:
    renderer = _renderer(tokenizer_folder)
    body: dict[str, Any] = {
        "prompt": PromptReader(renderer).prompt(messages),
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        # Else the base's generation_config.json decides them.
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "stop": list(config.stop),
        "stop_token_ids": renderer.stop_token_ids,
        "presence_penalty": config.presence_penalty,
        "frequency_penalty": config.frequency_penalty,
        "logit_bias": {str(token): bias for token, bias in config.logit_bias.items()},
    }
    if config.seed is not None:
        body["seed"] = config.seed
    if config.top_logprobs is not None:
        body["logprobs"] = config.top_logprobs
    if config.json_schema is not None:
        schema = enforceable(config.json_schema)
        named = {"name": "answer", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


@lru_cache(64)
def _renderer(folder: Path) -> ChatRenderer:
    try:
        return load_renderer(folder)
    except ValueError as error:
        raise ServingError(str(error), code="model_file_missing") from error


def _read(reply: httpx.Response) -> dict[str, Any]:
    with _failures_explained():
        told: dict[str, Any] = json.loads(reply.read())
    return told


def _pieces(reply: httpx.Response, config: GenerationConfig) -> Iterator[Piece | Completion]:
    pieces: list[Piece] = []
    reason = ""
    usage: dict[str, Any] = {}
    for chunk in _events(reply):
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            reason = choice.get("finish_reason") or reason
            piece = Piece(choice["text"], _logprobs(choice, config))
            if piece.text or piece.logprobs:
                pieces.append(piece)
                yield piece
    if not reason or not usage:
        raise httpx.RemoteProtocolError("the stream ended before the answer")
    text = "".join(piece.text for piece in pieces)
    yield _completion(text, reason, usage, tuple(t for piece in pieces for t in piece.logprobs))


def _events(reply: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in reply.iter_lines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        event = json.loads(data)
        if "error" in event:
            raise _refusal(int(event["error"].get("code") or 500), {}, event["error"])
        yield event


def _completion(
    text: str, reason: str, usage: dict[str, Any], logprobs: tuple[TokenLogprob, ...]
) -> Completion:
    if reason not in ("stop", "length"):  # "abort", "error"
        raise ServingError("vLLM gave the answer up.", code="generation_failed")
    return Completion(
        text=text,
        prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
        finish_reason=reason,
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        logprobs=logprobs,
    )


def _logprobs(choice: dict[str, Any], config: GenerationConfig) -> tuple[TokenLogprob, ...]:
    told, n_top = choice.get("logprobs"), config.top_logprobs
    if n_top is None or not told:
        return ()
    tops = told.get("top_logprobs") or [{}] * len(told["tokens"])
    return tuple(
        _token(token, logprob, _top(top or {}, n_top))
        for token, logprob, top in zip(told["tokens"], told["token_logprobs"], tops, strict=True)
    )


def _top(told: dict[str, float], n_top: int) -> tuple[TokenLogprob, ...]:
    likeliest = sorted(told.items(), key=lambda each: -each[1])[:n_top]
    return tuple(_token(token, logprob) for token, logprob in likeliest)


def _token(token: str, logprob: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    return TokenLogprob(token, logprob, tuple(token.encode()), top)


def _error_of(reply: httpx.Response) -> dict[str, Any]:
    """vLLM nests its errors since 0.10; before, the body was the error."""
    try:
        told = reply.json()
    except ValueError:
        return {"message": reply.text[:200]}
    if not isinstance(told, dict):
        return {"message": str(told)[:200]}
    error = told.get("error", told)
    return error if isinstance(error, dict) else {"message": str(error)}


def _refusal(status: int, headers: Any, error: dict[str, Any]) -> ServingError:
    message = str(error.get("message") or "The model server refused the request.")
    lowered = message.lower()
    if status in (401, 403):
        return ServingError("vLLM refused our key.", code="invalid_key")
    if status == 404:
        return ServingError("The model is not loaded in vLLM.", code="model_file_missing")
    if status == 429:
        wait = str(headers.get("retry-after", ""))
        seconds = int(wait) if wait.isdigit() else BUSY_RETRY_S
        return ServingError("vLLM is busy.", code="server_busy", retry_after=seconds)
    if status >= 500:
        return ServingError("vLLM failed.", code="model_server_unavailable")
    if "context length" in lowered or "max_model_len" in lowered:
        return ServingError(message, code="context_length_exceeded")
    if "schema" in lowered or "grammar" in lowered or "guided" in lowered:
        return ServingError(message, code="invalid_json_schema")
    return ServingError(message, code="invalid_request")


@contextmanager
def _failures_explained() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise _unavailable("vLLM took too long to answer.") from error
    except httpx.ConnectError as error:
        raise _unavailable("vLLM is not running.") from error
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise _unavailable("vLLM stopped while it answered.") from error


def _unavailable(message: str) -> ServingError:
    return ServingError(message, code="model_server_unavailable")
