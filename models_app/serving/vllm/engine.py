"""A vLLM server on GPUs behind the same two verbs as our own: generate and stream. No Django.

vLLM serves one base (its --served-model-name is the base's name) and our adapters on top of it,
which are loaded while it runs (--enable-lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING=true, and the
artifacts at the same paths). Prompts are sent as token ids of our own renderer. Only vLLM itself
can bound the blanks of JSON: --structured-outputs-config '{"disable_any_whitespace": true}'.
"""

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from models_app.serving.answers import Completion, Piece, TokenLogprob
from models_app.serving.errors import ServingError, too_late, too_long
from models_app.serving.json_schemas import enforceable
from models_app.serving.prompts import PromptReader
from models_app.serving.vllm.adapters import Adapters
from models_app.serving.vllm.errors import failures_explained, message_of, refusal, refusal_of
from models_app.serving.vllm.logprobs import LogprobReader, Vocabulary
from models_app.serving.wire import GenerateRequest
from modelstation.lm.chat import ChatRenderer, load_renderer

logger = logging.getLogger("modelstation.vllm")

CONNECT_S = 2
LOADING = httpx.Timeout(120, connect=CONNECT_S)  # of an adapter, from a slow disk
# As many connections as requests; an idle one is let go before vLLM closes it, after 5 seconds.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=3)


@dataclass(frozen=True)
class Adapter:
    """Of one version row: the ids come from it, never from a request."""

    org_id: str
    version_id: str
    folder: Path


@dataclass(frozen=True)
class VllmModel:
    base: str
    adapter: Adapter | None = None


@dataclass(frozen=True)
class _Served:
    """What to ask vLLM for, and how to load it again, which a base cannot be."""

    base: str
    name: str
    load_again: Callable[[], object] | None = None


class Vllm:
    """Thread-safe."""

    def __init__(
        self, url: str, key: str, *, secret: str, max_adapters: int = 32, deadline_s: float = 300
    ) -> None:
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(deadline_s, connect=CONNECT_S),
            limits=LIMITS,
            trust_env=False,
        )
        self._secret = secret.encode()
        self._deadline_s = deadline_s
        self._adapters = Adapters(max_adapters, load=self._load, unload=self._unload)
        self._context_lengths: dict[str, int | None] = {}

    def generate(self, model: VllmModel, request: GenerateRequest) -> Completion:
        body = _body(request) | self._salt(request.owner)
        with self._served(model, body, request.owner) as served:
            reply = self._reply(served, body)
            with closing(reply), failures_explained(self._deadline_s):
                answer = json.loads(reply.read())
                [choice] = answer["choices"]
                logprobs = _reader(request)(choice)
        return _completion(choice["text"], choice["finish_reason"], answer["usage"], logprobs)

    def stream(self, model: VllmModel, request: GenerateRequest) -> Iterator[Piece | Completion]:
        """Yield pieces, then the Completion. Closing it closes the connection: vLLM stops."""
        body = _body(request) | self._salt(request.owner)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        ends_at = time.monotonic() + self._deadline_s
        with self._served(model, body, request.owner) as served:
            reply = self._reply(served, body)
            with closing(reply), failures_explained(self._deadline_s):
                events = self._in_time(_events(reply), ends_at)
                yield from _pieces(events, _reader(request))

    def is_up(self) -> bool:
        try:
            return self._http.get("/health", timeout=CONNECT_S).is_success
        except httpx.HTTPError:
            return False

    def adapter_name(self, adapter: Adapter) -> str:
        """Return what vLLM knows it by: nobody who lacks our secret can guess another tenant's."""
        identity = f"{adapter.org_id}:{adapter.version_id}".encode()
        return f"lora-{hmac.new(self._secret, identity, hashlib.sha256).hexdigest()[:40]}"

    def _salt(self, owner: str) -> dict[str, str]:
        """No prompt cached for one organisation speeds, and so betrays itself to, another."""
        return {"cache_salt": hmac.new(self._secret, owner.encode(), hashlib.sha256).hexdigest()}

    @contextmanager
    def _served(self, model: VllmModel, body: dict[str, Any], owner: str) -> Iterator[_Served]:
        """Keep an adapter loaded for the block."""
        base, adapter = model.base, model.adapter
        if adapter is not None and (not owner or owner != adapter.org_id):
            raise ServingError("There is no such model.", code="model_not_found")
        self._fitted(base, body)  # what cannot be answered loads nothing
        if adapter is None:
            yield _Served(base, base)
            return
        name = self.adapter_name(adapter)
        with self._adapters.held(name, adapter.folder) as load_again:
            yield _Served(base, name, load_again)

    def _reply(self, served: _Served, body: dict[str, Any]) -> httpx.Response:
        """Return an open reply; sent twice where vLLM was started anew, and knows other things."""
        reply = self._send(served, body)
        if not reply.is_success and self._has_mended(served, reply):
            reply = self._send(served, body)
        if reply.is_success:
            return reply
        raise refusal_of(reply)

    def _has_mended(self, served: _Served, reply: httpx.Response) -> bool:
        is_lost = reply.status_code == httpx.codes.NOT_FOUND and served.load_again is not None
        if not is_lost and refusal_of(reply).code != "context_length_exceeded":
            return False
        known = self._context_lengths.get(served.base)
        self._context_lengths = {}
        is_other = self._context_length(served.base) != known
        if is_lost and served.load_again:
            served.load_again()
        return is_lost or is_other

    def _send(self, served: _Served, body: dict[str, Any]) -> httpx.Response:
        """Send it; the body of a refusal is read, that of an answer is not."""
        body = {"model": served.name, **self._fitted(served.base, body)}
        request = self._http.build_request("POST", "/v1/completions", json=body)
        with failures_explained(self._deadline_s):
            reply = self._http.send(request, stream=True)
            if not reply.is_success:
                with closing(reply):
                    reply.read()
        return reply

    def _fitted(self, base: str, body: dict[str, Any]) -> dict[str, Any]:
        """Cut to the context as our own server cuts: vLLM refuses what may outgrow it."""
        most, count = self._context_length(base), len(body["prompt"])
        if most is None:
            return body
        if count >= most:
            raise too_long(count, most)
        return {**body, "max_tokens": min(body["max_tokens"], most - count)}

    def _context_length(self, base: str) -> int | None:
        """None where vLLM does not say. An adapter is only loaded on its own base: on another of
        the same shape it would answer, and nonsense.
        """
        lengths = self._context_lengths
        if base not in lengths:
            lengths = self._context_lengths = self._bases()
        if base not in lengths:
            raise ServingError("vLLM does not serve this base.", code="model_file_missing")
        return lengths[base]

    def _bases(self) -> dict[str, int | None]:
        with failures_explained():
            reply = self._http.get("/v1/models", timeout=LOADING)
            if not reply.is_success:
                raise refusal_of(reply)
            served = [each for each in reply.json()["data"] if not each.get("parent")]
            return {each["id"]: each.get("max_model_len") for each in served}

    def _load(self, name: str, folder: Path) -> None:
        reply = self._post("/v1/load_lora_adapter", lora_name=name, lora_path=str(folder))
        message = message_of(reply)
        if reply.is_success or "already been loaded" in message:  # by another process of ours
            return
        error = refusal_of(reply)
        logger.warning("vLLM did not load an adapter (%s): %s", reply.status_code, message)
        if error.code == "model_file_missing":
            raise ServingError("vLLM does not find this version's adapter.", code=error.code)
        if reply.status_code in (400, 500):  # a rank above --max-lora-rank, another base's weights
            message = "vLLM cannot serve this version's adapter: an operator finds why in the log."
            raise ServingError(message, code="model_unreadable")
        raise error

    def _unload(self, name: str) -> None:
        """vLLM fails at it (500) when it dropped the weights itself, because it needed space."""
        reply = self._post("/v1/unload_lora_adapter", lora_name=name)
        if not reply.is_success and reply.status_code not in (400, 404, 500):
            raise refusal_of(reply)

    def _post(self, path: str, **body: str) -> httpx.Response:
        with failures_explained():
            return self._http.post(path, json=body, timeout=LOADING)

    def _in_time(self, events: Iterator[dict[str, Any]], ends_at: float) -> Iterator[Any]:
        for event in events:
            if time.monotonic() > ends_at:
                raise too_late(self._deadline_s)
            yield event


def _body(request: GenerateRequest) -> dict[str, Any]:
    renderer, config = _renderer(request.tokenizer_folder), request.config
    body: dict[str, Any] = {
        "prompt": PromptReader(renderer).prompt(request.messages),
        "max_tokens": config.max_new_tokens,
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
        body |= {"logprobs": config.top_logprobs, "return_tokens_as_token_ids": True}
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


_vocabulary = lru_cache(16)(Vocabulary)
ReadLogprobs = Callable[[dict[str, Any]], tuple[TokenLogprob, ...]]


def _reader(request: GenerateRequest) -> ReadLogprobs:
    if request.config.top_logprobs is None:
        return lambda choice: ()
    return LogprobReader(_vocabulary(request.tokenizer_folder), request.config.top_logprobs).read


def _pieces(
    events: Iterator[dict[str, Any]], read_logprobs: ReadLogprobs
) -> Iterator[Piece | Completion]:
    pieces: list[Piece] = []
    reason = ""
    usage: dict[str, Any] = {}
    for chunk in events:
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            reason = choice.get("finish_reason") or reason
            piece = Piece(choice["text"], read_logprobs(choice))
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
        error = event if event.get("object") == "error" else event.get("error")
        if error:
            raise refusal(int(error.get("code") or 500), error)
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
