"""A chat completion as OpenAI's clients read it: one body, or a stream of server-sent events."""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from accounts.models import ApiToken
from models_app.models import UsageRecord
from models_app.served import Served
from models_app.serving.client import Completion, Piece
from modelstation.core.api import INTERNAL_ERROR, openai_error_body
from modelstation.core.errors import UserFacingError

logger = logging.getLogger("modelstation.openai")
Pieces = Iterator[Piece | Completion]


@dataclass(frozen=True)
class Chat:
    """One request for an answer: what its parts and its usage record have in common."""

    served: Served
    token: ApiToken
    include_usage: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    started: float = field(default_factory=time.monotonic)

    def body(self, completion: Completion) -> dict[str, Any]:
        message = {"role": "assistant", "content": completion.text, "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": completion.finish_reason,
        }
        return self._head("chat.completion") | {"choices": [choice], "usage": usage_of(completion)}

    def events(self, pieces: Pieces) -> Iterator[bytes]:
        """A failure once the stream has begun is an event too: the status has been sent already."""
        with closing(pieces):  # type: ignore[type-var]
            try:
                yield self._chunk({"role": "assistant", "content": ""})
                yield from self._text_events(pieces)
            except UserFacingError as error:
                yield event(openai_error_body(error.code, error.message, kind="server_error"))
            except Exception:
                logger.exception("the stream of %s broke", self.id)
                yield event(
                    openai_error_body("internal_error", INTERNAL_ERROR, kind="server_error")
                )

    def record(self, completion: Completion) -> None:
        """Count what was used. A model deleted while it answered has nothing left to count on."""
        if self.served.version is None:
            return
        try:
            with transaction.atomic():
                UsageRecord.objects.create(
                    version_id=self.served.version.id,
                    token_id=self.token.id,
                    prompt_tokens=completion.prompt_tokens,
                    completion_tokens=completion.completion_tokens,
                    milliseconds=round(1000 * (time.monotonic() - self.started)),
                )
        except IntegrityError:
            logger.warning("no usage kept for %s: the version or the token is gone", self.id)

    def _text_events(self, pieces: Pieces) -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, Piece):
                yield self._chunk({"content": piece.text})
                continue
            self.record(piece)
            yield self._chunk({}, finish_reason=piece.finish_reason)
            if self.include_usage:
                yield event(
                    self._head("chat.completion.chunk") | {"choices": [], "usage": usage_of(piece)}
                )
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self.include_usage else {}
        return event(self._head("chat.completion.chunk") | {"choices": [choice]} | usage)

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.served.name}


def usage_of(completion: Completion) -> dict[str, int]:
    return {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "total_tokens": completion.prompt_tokens + completion.completion_tokens,
    }


def event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
