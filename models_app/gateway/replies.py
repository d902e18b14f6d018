"""What chat and text completions have in common: one body, or a stream of server-sent events."""

import hashlib
import json
import logging
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import ClassVar

from models_app.gateway.answers import Pieces, Question, Tally
from models_app.gateway.errors import openai_code
from models_app.gateway.shapes import Answer, Choice, Usage
from models_app.serving.client import Completion, Piece
from modelstation.core.errors import UserFacingError
from modelstation.core.web.api import INTERNAL_ERROR, openai_error_body

# Gets the whole answer, once it is complete.
Keep = Callable[[Question, Answer, list[Choice]], None]
logger = logging.getLogger("modelstation.openai")


@dataclass(frozen=True)
class Reply(ABC):
    """One question's answers on their way out; the kinds of it say how a choice looks."""

    question: Question
    include_usage: bool = False
    keep: Keep | None = None  # what a request that wants its answer stored hands in
    hex: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))
    prefix: ClassVar[str]
    kind: ClassVar[str]
    chunk_kind: ClassVar[str]

    @property
    def id(self) -> str:
        return self.prefix + self.hex

    @abstractmethod
    def choice(self, number: int, completion: Completion) -> Choice: ...

    def opening(self) -> list[Choice]:
        """Choices that come before any piece."""
        return []

    @abstractmethod
    def part(self, number: int, piece: Piece, offset: int) -> Choice:
        """Return the choice of a chunk; `offset` counts the characters that went before."""

    @abstractmethod
    def ending(self, number: int, completion: Completion) -> Choice: ...

    def body(self) -> Answer:
        return self._whole(self.question.answers())

    def _whole(self, completions: Sequence[Completion]) -> Answer:
        choices = [self.choice(*numbered) for numbered in enumerate(completions)]
        usage = usage_of(self.question.used(completions))
        answer: Answer = {**self._answer(self.kind, choices), "usage": usage}
        if self.keep is not None:
            self.keep(self.question, answer, choices)
        return answer

    def events(self, pieces: Pieces) -> Iterator[bytes]:
        """Yield server-sent events. A failure once the stream has begun is one too: the status has
        been sent already. A client that leaves early ends the decoding, and what was written until
        then is counted.
        """
        tally = Tally(self.question)
        try:
            with closing(pieces):
                yield from self._chunks(pieces, tally)
        except GeneratorExit:
            tally.record_abandoned()
            raise
        except UserFacingError as error:
            yield event(openai_error_body(openai_code(error), error.message, kind="server_error"))
        except Exception:
            logger.exception("the stream of %s broke", self.id)
            yield event(openai_error_body("internal_error", INTERNAL_ERROR, kind="server_error"))

    def _chunks(self, pieces: Pieces, tally: Tally) -> Iterator[bytes]:
        for choice in self.opening():
            yield self._chunk(choice)
        for number, piece in pieces:
            offset = tally.characters(number)
            tally.add(number, piece)
            if isinstance(piece, Piece):
                yield self._chunk(self.part(number, piece, offset))
                continue
            if completions := tally.completions:
                self.question.record(completions)
            yield self._chunk(self.ending(number, piece))
        if self.keep is not None and (completions := tally.completions):
            self._whole(completions)
        if self.include_usage and (completions := tally.completions):
            usage = usage_of(self.question.used(completions))
            yield event({**self._answer(self.chunk_kind, []), "usage": usage})
        yield b"data: [DONE]\n\n"

    def _chunk(self, choice: Choice) -> bytes:
        answer = self._answer(self.chunk_kind, [choice])
        if self.include_usage:
            answer["usage"] = None
        return event(answer)

    def _answer(self, kind: str, choices: list[Choice]) -> Answer:
        served = self.question.served
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": served.name,
            "system_fingerprint": _fingerprint(str(served.gguf)),
            "choices": choices,
        }


def usage_of(completion: Completion) -> Usage:
    return {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "total_tokens": completion.prompt_tokens + completion.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": completion.cached_tokens},
    }


def event(data: object) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _fingerprint(file: str) -> str:
    """Return the same as long as the same file answers: a version's files never change."""
    return f"fp_{hashlib.sha256(file.encode()).hexdigest()[:10]}"
