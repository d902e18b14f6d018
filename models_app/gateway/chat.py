"""A chat completion as OpenAI's clients read it: one body, or chunks of a stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models_app.gateway.replies import Reply
from models_app.serving.client import Completion, Piece, TokenLogprob


@dataclass(frozen=True)
class ChatReply(Reply):
    prefix = "chatcmpl-"
    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def choice(self, number: int, completion: Completion) -> dict[str, Any]:
        message = {"role": "assistant", "content": completion.text, "refusal": None}
        return {
            "index": number,
            "message": message,
            "logprobs": self._logprobs(completion.logprobs),
            "finish_reason": completion.finish_reason,
        }

    def opening(self) -> list[dict[str, Any]]:
        role = {"role": "assistant", "content": "", "refusal": None}
        return [_delta(number, role) for number in range(self.question.count)]

    def part(self, number: int, piece: Piece, offset: int) -> dict[str, Any]:
        return _delta(number, {"content": piece.text}, self._logprobs(piece.logprobs))

    def ending(self, number: int, completion: Completion) -> dict[str, Any]:
        return _delta(number, {}) | {"finish_reason": completion.finish_reason}

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if self.question.config.top_logprobs is None:
            return None
        content = [_told(token) | {"top_logprobs": list(map(_told, token.top))} for token in tokens]
        return {"content": content, "refusal": None}


def _delta(
    number: int, delta: dict[str, Any], logprobs: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": None}


def _told(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.bytes)}
