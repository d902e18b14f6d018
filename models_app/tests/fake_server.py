"""The model server, played: it answers all alike, and remembers what it was asked."""

import threading
from pathlib import Path
from typing import NamedTuple

from models_app.serving.answers import Completion, GenerationConfig, Piece, TokenLogprob


class Call(NamedTuple):
    gguf: Path
    tokenizer_folder: Path
    messages: list
    config: GenerationConfig
    owner: str


def logprob(token, value, *others):
    top = tuple(TokenLogprob(other, value - 1, tuple(other.encode())) for other in others)
    return TokenLogprob(token, value, tuple(token.encode()), top)


LOGPROBS = (logprob("lost_", -0.5, "lost_", "found"), logprob("card", -0.25, "card", "é"))


class FakeServer:
    """Answers with its seed, so that choices differ; two tokens to each answer."""

    def __init__(self):
        self.calls = []
        self.closed = []
        self.error = None
        self.error_after = None  # the first piece
        self.gate = None  # an event for which every second piece waits
        self.lock = threading.Lock()

    def generate(self, gguf, tokenizer_folder, messages, config, *, owner=""):
        with self.lock:
            self.calls.append(Call(gguf, tokenizer_folder, messages, config, owner))
        if self.error:
            raise self.error
        return Completion(
            f"lost_{self._end(config)}",
            prompt_tokens=11,
            completion_tokens=2,
            finish_reason="stop",
            cached_tokens=4,
            logprobs=LOGPROBS if config.top_logprobs is not None else (),
        )

    def stream(self, gguf, tokenizer_folder, messages, config, *, owner=""):
        completion = self.generate(gguf, tokenizer_folder, messages, config, owner=owner)
        first, second = (completion.logprobs[:1], completion.logprobs[1:])
        try:
            yield Piece("lost_", first)
            if self.gate is not None:
                assert self.gate.wait(10)
            if self.error_after:
                raise self.error_after
            yield Piece(self._end(config), second)
            yield completion
        finally:
            self.closed.append(config.seed)

    def _end(self, config):
        return f"card{config.seed or ''}"
