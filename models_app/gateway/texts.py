"""A text completion as OpenAI's clients read it; body and chunks have one shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from models_app.gateway.replies import Reply
from models_app.gateway.shapes import Choice, TextLogprobs
from models_app.serving.answers import Completion, Piece, TokenLogprob


@dataclass(frozen=True)
class TextReply(Reply):
    prefix = "cmpl-"
    kind = chunk_kind = "text_completion"

    def choice(self, number: int, completion: Completion) -> Choice:
        logprobs = self._logprobs(completion.logprobs, 0)
        return _choice(number, completion.text, logprobs, completion.finish_reason)

    def part(self, number: int, piece: Piece, offset: int) -> Choice:
        return _choice(number, piece.text, self._logprobs(piece.logprobs, offset))

    def ending(self, number: int, completion: Completion) -> Choice:
        return _choice(number, "", None, completion.finish_reason)

    def _logprobs(self, tokens: Sequence[TokenLogprob], offset: int) -> TextLogprobs | None:
        if self.question.config.top_logprobs is None:
            return None
        lengths = [len(token.token) for token in tokens[:-1]]
        return {
            "tokens": [token.token for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [
                {other.token: other.logprob for other in token.top} for token in tokens
            ],
            "text_offset": list(accumulate(lengths, initial=offset)) if tokens else [],
        }


def _choice(
    number: int, text: str, logprobs: TextLogprobs | None, finish_reason: str | None = None
) -> Choice:
    return {"index": number, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
