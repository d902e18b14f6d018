"""A chat completion as OpenAI's clients read it: one body, or chunks of a stream."""

from collections.abc import Sequence
from dataclasses import dataclass

from models_app.gateway.replies import Reply
from models_app.gateway.shapes import ChatLogprobs, ChatMessage, Choice, LabelShape
from models_app.serving.answers import Completion, Piece, TokenLogprob
from models_app.serving.llama_cpp import Token


@dataclass(frozen=True)
class ChatReply(Reply):
    prefix = "chatcmpl-"
    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def choice(self, number: int, completion: Completion) -> Choice:
        choice: Choice = {
            "index": number,
            "message": {"role": "assistant", "content": completion.text, "refusal": None},
            "logprobs": self._logprobs(completion.logprobs),
            "finish_reason": completion.finish_reason,
        }
        return _with_labels(choice, completion)

    def opening(self) -> list[Choice]:
        role: ChatMessage = {"role": "assistant", "content": "", "refusal": None}
        return [_delta(number, role) for number in range(self.question.count)]

    def part(self, number: int, piece: Piece, offset: int) -> Choice:
        return _delta(number, {"content": piece.text}, self._logprobs(piece.logprobs))

    def ending(self, number: int, completion: Completion) -> Choice:
        last = _delta(number, {}, finish_reason=completion.finish_reason)
        return _with_labels(last, completion)

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> ChatLogprobs | None:
        if self.question.config.top_logprobs is None:
            return None
        content: list[Token] = [
            {**_shape(token), "top_logprobs": [_shape(other) for other in token.top]}
            for token in tokens
        ]
        return {"content": content, "refusal": None}


def _with_labels(choice: Choice, completion: Completion) -> Choice:
    """Add the labels' probabilities, where the model decides among labels."""
    labels: list[LabelShape] = [
        {"label": each.label, "probability": each.probability} for each in completion.labels
    ]
    return {**choice, "modelstation": {"labels": labels}} if labels else choice


def _delta(
    number: int,
    delta: ChatMessage,
    logprobs: ChatLogprobs | None = None,
    finish_reason: str | None = None,
) -> Choice:
    return {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _shape(token: TokenLogprob) -> Token:
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.bytes)}
