"""What a GGUF file itself says of chats: its template, special tokens and vocabulary, and how
llama.cpp alone, without our renderer, turns a chat into token ids with them.

Run `python -m pytest modelstation/lm/tests/gguf/test_kinds.py`.
"""

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from gguf import GGUFReader

from modelstation.lm.chat import Message


@dataclass(frozen=True)
class GgufFacts:
    template: str
    eos_token_id: int | None
    pad_token_id: int | None
    adds_bos: bool
    tokens: list[str]
    tensor_types: dict[str, int]  # how many tensors are of each


def read_facts(file: Path) -> GgufFacts:
    """ValueError for a file that is no GGUF."""
    reader = GGUFReader(str(file))

    def value(name: str, default: Any = None) -> Any:
        field = reader.fields.get(f"tokenizer.{name}")
        return default if field is None else field.contents()

    types = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    return GgufFacts(
        template=value("chat_template", ""),
        eos_token_id=value("ggml.eos_token_id"),
        pad_token_id=value("ggml.padding_token_id"),
        adds_bos=bool(value("ggml.add_bos_token", True)),
        tokens=value("ggml.tokens", []),
        tensor_types=dict(types.most_common()),
    )


class LlamaCpp:
    """llama.cpp as anybody else runs it: its own template engine and tokenizer."""

    def __init__(self, address: str, key: str) -> None:
        self.address, self.key = address, key
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the chat by the file's template; ValueError has llama.cpp's refusal."""
        chat = {"messages": list(messages), "chat_template_kwargs": {"enable_thinking": False}}
        rendered = self._post("/apply-template", chat)
        request = {"content": rendered["prompt"], "add_special": True, "parse_special": True}
        ids: list[int] = self._post("/tokenize", request)["tokens"]
        return ids

    def close(self) -> None:
        self._http.close()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self._http.post(path, json=body)
        content: dict[str, Any] = reply.json()
        if not reply.is_success:
            raise ValueError(str(content.get("error", {}).get("message", content)))
        return content


@contextmanager
def llama_cpp(file: Path) -> Iterator[LlamaCpp]:
    """ValueError for a file that llama.cpp cannot load."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel, params.verbosity = 256, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = params.fit_params = False
    params.use_jinja = True
    key = secrets.token_hex()
    params.api_keys = [key]
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise ValueError(f"{file.name} cannot be loaded by llama.cpp: {error}") from error
    # It waits for ever when it is closed before its loop has begun.
    server.handle_completions({"prompt": [0], "max_tokens": 1})
    client = LlamaCpp(server.listening_address, key)
    try:
        yield client
    finally:
        client.close()
        del server
